"""The whole chain in one process: every stage in order, for each of its splits."""

import logging
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from usseg.pipeline.execution import Execution
from usseg.pipeline.plan import link_code, write_plans
from usseg.pipeline.project import Project
from usseg.pipeline.runner import run_stage

log = logging.getLogger("usseg")
Display = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]


def run_chain(
    project: Project, execution: Execution, names: Collection[str], *, display: Display | None = None
) -> None:
    """Bring the artifacts of some stages up to date, in the order of the table of stages.

    Args:
        project: the project.
        execution: how to run; `display` replaces its `progress`.
        names: the names of the stages.
        display: maps the title of a run to a context manager that yields a progress function.

    Raises:
        ParamsError, ArtifactError, ImageError: as `run_stage`. Finished artifacts stay.
    """
    steps = [(name, split) for name in project.stages if name in names for split in project.splits_of(name)]
    for number, (name, split) in enumerate(steps, 1):
        if display is None or name not in project.needed:
            run_stage(project, name, split, execution)
            continue
        with display(f"{number} of {len(steps)}: {name}@{split}") as progress:
            run_stage(project, name, split, replace(execution, progress=progress))


def run_project(project: Project, execution: Execution, *, display: Display | None = None) -> None:
    """Run the chain as `dvc repro` does, in this process: the same artifacts, metrics, plots, report and dvc.lock.

    If the project does not use DVC, dvc.lock is not written and a log line says so.

    Raises:
        ParamsError, ArtifactError, ImageError: as `run_stage`.
    """
    link_code(project.root)
    write_plans(project)
    run_chain(project, execution, project.stages, display=display)
    if not (project.root / "dvc.yaml").is_file() or not (project.root / ".dvc").is_dir():
        log.info("no .dvc in %s: DVC does not track these artifacts; dvc init would have it do so", project.root)
        return
    record_in_dvc(project.root)


def record_in_dvc(root: Path) -> None:
    """Write dvc.lock and add the outputs to DVC's cache, as `dvc commit --force` does."""
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.WARNING)
    with Repo(str(root)) as repo:
        repo.commit(force=True)
