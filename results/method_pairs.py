"""Run every pair of a segments method and a cluster method with the same features, for each seed.

Each run is a project of its own, which is derived from the source project. As in every project, a current artifact is
not computed again and an interrupted run resumes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from usseg.pipeline.chain import run_chain
from usseg.pipeline.execution import Execution
from usseg.pipeline.params import refused
from usseg.pipeline.project import Project
from usseg.results.derive import Edits, derive, edited_params

SHARED = ("features", "eigen")  # stages before the compared ones; their artifacts stay in the source project
SEGMENTER = "segmenter"  # shared too by the runs that have the segmenter of the source project


@dataclass(frozen=True)
class Pair:
    """A finished run: its two methods, its project and its seed. Without a seed it has the seeds of params.yaml."""

    segments: str
    cluster: str
    project: Project
    seed: int | None = None


def run_pairs(
    source: Project,
    folder: Path,
    segments: Sequence[str],
    clusters: Sequence[str],
    execution: Execution,
    *,
    seeds: Sequence[int] = (),
) -> Iterator[Pair]:
    """Bring every run up to date, in order, and yield each finished run.

    A method that params.yaml does not choose has its default options. A seed of the comparison is the `seed` of every
    stage that has one, from `segmenter` on: the training of a segmenter, the segments, the clustering. The runs share
    index, features and eigenvectors, whatever their seed, and the segmenter of the source project where its params are
    theirs. The segments of a method and a seed are shared by all cluster methods.

    Args:
        source: the source project. It holds the artifacts that all runs share.
        folder: the parent folder of the projects of the runs: METHOD/CLUSTER, with seeds METHOD/seed-N/CLUSTER.
        segments: values of `segments.method`.
        clusters: values of `cluster.method`.
        execution: how to run.
        seeds: the seeds; empty: one run of each pair, with the seeds of params.yaml.

    Raises:
        ParamsError, ArtifactError, ImageError: as `run_stage`.
    """
    edits = {(s, c): {**edits_of(source, s, None), "cluster": {"method": c}} for s in segments for c in clusters}
    pairs = [Project.of(source.stages, source.root, edited_params(source, edit)) for edit in edits.values()]
    weights = getattr(source.params["features"].options, "weights", None)  # type: ignore[attr-defined]
    if weights and not Path(weights).is_absolute():
        raise refused("features.options.weights", weights, "to compare methods, an absolute path is needed")
    for pair in pairs:  # run the shared stages that this pair needs
        run_chain(with_params_of(source, pair), execution, {"index", *SHARED} & pair.needed)
    base = derive(source, folder, {}, share={})
    run_chain(base, execution, ["index"])
    shared = {"index": folder, **dict.fromkeys(SHARED, source.root)}
    chosen: Sequence[int | None] = seeds or (None,)
    for method in segments:
        for seed in chosen:
            root = folder / method if seed is None else folder / method / f"seed-{seed}"
            edit = edits_of(source, method, seed)
            segmented = derive(source, root, edit, share=shared)
            trainer = segmented
            if trained_in_source(source, segmented):
                trainer = with_params_of(source, segmented)
                segmented = derive(source, root, edit, share={**shared, SEGMENTER: source.root})
            run_chain(trainer, execution, {SEGMENTER} & segmented.needed)
            run_chain(segmented, execution, {"segments", "crops"} & segmented.needed)
            for cluster in clusters:
                share = {**shared, SEGMENTER: trainer.root, "segments": segmented.root, "crops": segmented.root}
                pair = derive(segmented, segmented.root / cluster, {"cluster": {"method": cluster}}, share=share)
                run_chain(pair, execution, {"cluster", "assign", "refine", "evaluate"} & pair.needed)
                yield Pair(method, cluster, pair, seed)


def trained_in_source(source: Project, segmented: Project) -> bool:
    """Whether a run takes the segmenter of the source project: it has the same params, and has not trained its own."""
    own = segmented.root / "artifacts" / SEGMENTER
    return segmented.params[SEGMENTER] == source.params[SEGMENTER] and not own.is_dir()


def edits_of(source: Project, method: str, seed: int | None) -> Edits:
    """The edits of params.yaml for a segments method and a seed.

    A segments method that needs a trained segmenter of its own name gets it. A seed is that of every stage that is not
    shared.
    """
    edits: dict[str, dict[str, object]] = {"segments": {"method": method}}
    trained = source.stages[SEGMENTER].methods
    if trained is not None and method in trained():
        edits[SEGMENTER] = {"method": method}
    if seed is not None:
        for name, params in source.params.items():
            if name not in SHARED and "seed" in type(params).model_fields:
                edits.setdefault(name, {})["seed"] = seed
    return edits


def with_params_of(source: Project, pair: Project) -> Project:
    """The source project with the methods of a pair. Its `needed` tells which stages the pair needs."""
    changed = {name: pair.params[name] for name in ("segments", "cluster")}
    return Project(source.root, source.stages, {**source.params, **changed})
