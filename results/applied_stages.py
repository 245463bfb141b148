"""The stages that new photos go through, and the fitted artifacts that these stages read."""

from dataclasses import dataclass

from usseg.pipeline.project import Project
from usseg.results.export.source import RESULT


@dataclass(frozen=True)
class AppliedStages:
    """The part of the pipeline that leads from photos to the result.

    Attributes:
        applied: the stages that run for new photos, in the order of the pipeline.
        fitted: the stages whose artifact of the fit split is read, in the order of the pipeline.
    """

    applied: tuple[str, ...]
    fitted: tuple[str, ...]


def applied_stages(project: Project) -> AppliedStages:
    """The stages between photos and the result, from the declarations of the stages and the params of a project."""
    applied, fitted, pending = {RESULT}, set[str](), [RESULT]
    while pending:
        for item in project.reads(pending.pop()):
            assert item.split != "all", f"{item.stage}: a stage before the result reads every split"
            if item.split == "fit":
                fitted.add(item.stage)
            elif item.stage not in applied:
                applied.add(item.stage)
                pending.append(item.stage)
    return AppliedStages(*(tuple(name for name in project.stages if name in found) for found in (applied, fitted)))


def finished_stages(project: Project) -> tuple[str, ...]:
    """Every stage that the result of the fit split depends on, the fitted ones and their inputs included."""
    found = project.upstream(RESULT) | {RESULT}
    return tuple(name for name in project.stages if name in found)
