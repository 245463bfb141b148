"""Run every pair of a segments method and a cluster method over one feature dump.

Each pair is a small project of its own below one folder, derived from the project. The runner's rules hold in it: what is current is
not run again, and what was interrupted continues.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from usseg.pipeline.chain import run_chain
from usseg.pipeline.execution import Execution
from usseg.pipeline.params import refused
from usseg.pipeline.project import Project
from usseg.results.derive import derive, edited_params

SHARED = ("features", "eigen", "segmenter")  # with the project that is compared


@dataclass(frozen=True)
class Pair:
    """One finished combination: its methods and its project."""

    segments: str
    cluster: str
    project: Project


def run_pairs(
    source: Project, folder: Path, segments: Sequence[str], clusters: Sequence[str], execution: Execution
) -> Iterator[Pair]:
    """Bring every pair up to date, in order; yields each when it is done.

    A method other than that of params.yaml has its default options.

    Args:
        source: the project; it keeps the features that all pairs share.
        folder: where the projects of the pairs stand.
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
    needed = {name for pair in pairs for name in pair.needed}
    for pair in pairs:  # the stages that a pair shares are run for those that need them
        run_chain(with_params_of(source, pair), execution, needed & {"index", *SHARED} & pair.needed)
    base = derive(source, folder, {}, share={})
    run_chain(base, execution, ["index"])
    shared = {"index": folder, **dict.fromkeys(SHARED, source.root)}
    for method in segments:
        cut = derive(source, folder / method, {"segments": {"method": method}}, share=shared)
        run_chain(cut, execution, {"segments", "crops"} & cut.needed)
        for cluster in clusters:
            of_cut = {**shared, "segments": cut.root, "crops": cut.root}
            pair = derive(cut, cut.root / cluster, {"cluster": {"method": cluster}}, share=of_cut)
            run_chain(pair, execution, {"cluster", "assign", "refine", "evaluate"} & pair.needed)
            yield Pair(method, cluster, pair)


def with_params_of(source: Project, pair: Project) -> Project:
    """The project with the methods of a pair, to see what these need of it."""
    changed = {name: pair.params[name] for name in ("segments", "cluster")}
    return Project(source.root, source.stages, {**source.params, **changed})
