"""Run every pair of a segments method and a cluster method with the same features.

Each pair is a project of its own, which is derived from the source project. As in every project, a current artifact is
not computed again and an interrupted run resumes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from usseg.pipeline.chain import run_chain
from usseg.pipeline.execution import Execution
from usseg.pipeline.params import refused
from usseg.pipeline.project import Project
from usseg.results.derive import derive, edited_params

SHARED = ("features", "eigen", "segmenter")  # stages whose artifacts stay in the source project


@dataclass(frozen=True)
class Pair:
    """A finished pair: its two methods and its project."""

    segments: str
    cluster: str
    project: Project


def run_pairs(
    source: Project, folder: Path, segments: Sequence[str], clusters: Sequence[str], execution: Execution
) -> Iterator[Pair]:
    """Bring every pair up to date, in order, and yield each finished pair.

    A method that params.yaml does not choose has its default options.

    Args:
        source: the source project. It holds the artifacts that all pairs share.
        folder: the parent folder of the projects of the pairs.
        segments: values of `segments.method`.
        clusters: values of `cluster.method`.
        execution: how to run.

    Raises:
        ParamsError, ArtifactError, ImageError: as `run_stage`.
    """
    edits = [({"segments": {"method": s}}, {"cluster": {"method": c}}) for s in segments for c in clusters]
    pairs = [Project.of(source.stages, source.root, edited_params(source, {**s, **c})) for s, c in edits]
    weights = getattr(source.params["features"].options, "weights", None)  # type: ignore[attr-defined]
    if weights and not Path(weights).is_absolute():
        raise refused("features.options.weights", weights, "to compare methods, an absolute path is needed")
    for pair in pairs:  # run the shared stages that this pair needs
        run_chain(with_params_of(source, pair), execution, {"index", *SHARED} & pair.needed)
    base = derive(source, folder, {}, share={})
    run_chain(base, execution, ["index"])
    shared = {"index": folder, **dict.fromkeys(SHARED, source.root)}
    for method in segments:
        segmented = derive(source, folder / method, {"segments": {"method": method}}, share=shared)
        run_chain(segmented, execution, {"segments", "crops"} & segmented.needed)
        for cluster in clusters:
            share = {**shared, "segments": segmented.root, "crops": segmented.root}
            pair = derive(segmented, segmented.root / cluster, {"cluster": {"method": cluster}}, share=share)
            run_chain(pair, execution, {"cluster", "assign", "refine", "evaluate"} & pair.needed)
            yield Pair(method, cluster, pair)


def with_params_of(source: Project, pair: Project) -> Project:
    """The source project with the methods of a pair. Its `needed` tells which stages the pair needs."""
    changed = {name: pair.params[name] for name in ("segments", "cluster")}
    return Project(source.root, source.stages, {**source.params, **changed})
