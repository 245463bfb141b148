"""The command `usseg clusters`: how many clusters the segments, or the tokens, of the fit split have."""

import csv
import io
import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.chain import Display, run_chain
from usseg.pipeline.disk import write_file
from usseg.pipeline.errors import ParamsError
from usseg.pipeline.execution import Execution
from usseg.pipeline.opening import open_inputs
from usseg.pipeline.project import Project
from usseg.results.cluster_counts import PAIRS, STABLE, Judgement, Suggestion, judge, most_clusters, suggest
from usseg.results.number_list import numbers_of, written
from usseg.stages.cluster.fit_features import FitFeatures
from usseg.stages.cluster.scaling import unit_rows
from usseg.stages.cluster.stage import LARGEST, scaled_features

if TYPE_CHECKING:
    from rich.table import Table

log = logging.getLogger("usseg")
STAGE = "cluster"
PLOT, VALUES = "plots/clusters.png", "plots/clusters.csv"
LIMITS = (
    "no label was used. The scores prefer round groups of equal width in these features;\n"
    "the classes that you need may be finer or coarser. Look at the page with two or three numbers."
)
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


def judge_numbers(
    project: Project, numbers: str, most_rows: int, execution: Execution, display: Display
) -> "Iterator[str | Table]":
    """Judge numbers of clusters by the rows that the stage cluster sees, and write a plot and a CSV file to `plots/`.

    Stages before `cluster` are brought up to date first. Labels are not read.

    Args:
        project: the project.
        numbers: numbers of clusters, such as `2-20`.
        most_rows: largest number of rows that are judged; of more rows, a random sample.
        execution: how to run.
        display: maps a title to a context manager that yields a progress function.

    Yields:
        Lines, the table of all scores, the suggestion with its reason, and the next step.

    Raises:
        ParamsError: the numbers are no list, there are too few different rows, or no chosen method reads clusters.
        ParamsError, ArtifactError, ImageError: as `run_stage`.
    """
    wanted = sorted(numbers_of(numbers, option="--k", low=2, high=LARGEST))
    if STAGE not in project.needed:
        raise ParamsError("params.yaml: no chosen method needs clusters; refine.source: assign would")
    run_chain(project, execution, project.upstream(STAGE), display=display)
    params: Any = project.params[STAGE]
    inputs = open_inputs(project, STAGE, project.fit_split)
    features, scaling = scaled_features(params.model_copy(update={"k": 1}), inputs)
    rows, areas = sampled_rows(features, scaling, most_rows, seed=params.seed)
    options = options_of(project)
    if options.metric == "cosine":
        rows = unit_rows(rows)
    what = f"{features.kind}s of split {inputs.split}"
    if len(rows) < len(features.areas):
        yield f"{len(rows)} of {len(features.areas)} {what}, a random sample (cluster.seed: {params.seed})"
    else:
        yield f"{len(rows)} {what}"
    possible = [k for k in wanted if k <= most_clusters(rows)]
    if not possible or len(rows) < 4:
        different = len(np.unique(rows, axis=0))
        raise ParamsError(
            f"--k: found {numbers}; {len(rows)} {what}, {different} of them different, allow no such number"
        )
    if len(possible) < len(wanted):
        yield f"left out: {written(wanted[len(possible) :])} clusters: there are not so many different {features.kind}s"
    if params.method != "kmeans":
        yield f"judged by k-means with its default options; cluster.method is {params.method}"
    with display("clusters") as progress:
        judgements = judge(rows, areas, possible, seed=params.seed, options=options, progress=progress)
    suggestion = suggest(judgements)
    yield table_of(judgements, suggestion)
    yield f"stability: adjusted Rand index of two subsamples, mean ± standard deviation over {PAIRS} pairs; * best"
    write_file(project.root / VALUES, csv_of(judgements).encode())
    write_file(project.root / PLOT, plot_of(judgements, suggestion, what))
    yield from sentences(suggestion)
    yield f"plot: {project.root / PLOT}"
    yield f"next: usseg run --clusters {suggestion.k or 'K'}"


def options_of(project: Project) -> Any:
    """The options of k-means: those of the project if its method is k-means, else the default ones."""
    from usseg.stages.cluster.methods import kmeans

    params: Any = project.params[STAGE]
    return params.options if params.method == "kmeans" else kmeans.Options.model_validate({})


def sampled_rows(features: FitFeatures, scaling: Any, most: int, *, seed: int) -> tuple[F32, F64]:
    """All rows, float32 (N, C), and their areas, float64 (N,), or a random sample of `most` rows, in order.

    Only the sample is in memory.
    """
    count = len(features.areas)
    chosen = np.arange(count)
    if count > most:
        chosen = np.sort(np.random.default_rng(seed).choice(count, most, replace=False, shuffle=False))
    parts, start = [np.zeros((0, scaling.channels), np.float32)], 0
    for piece in features.pieces():
        inside = chosen[(chosen >= start) & (chosen < start + len(piece))] - start
        parts.append(scaling(piece[inside]))
        start += len(piece)
    return np.concatenate(parts), features.areas[chosen]


def sentences(suggestion: Suggestion) -> Iterator[str]:
    """The suggestion, its reason and its limits."""
    found = "no suggestion" if suggestion.k is None else f"suggestion: {suggestion.k} clusters"
    yield found
    yield f"reason: {suggestion.reason}"
    if suggestion.peaks:
        yield f"other stable local maxima of the silhouette: {', '.join(map(str, suggestion.peaks))}"
    yield f"limits: {LIMITS}"


def table_of(judgements: Sequence[Judgement], suggestion: Suggestion) -> "Table":
    """The table for the terminal: one row for each number. Stars mark the best values."""
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for heading in ("clusters", "silhouette", "Davies-Bouldin (lower is better)", "stability"):
        table.add_column(heading, justify="right")
    best = [
        max(one.silhouette for one in judgements),
        min(one.davies_bouldin for one in judgements),
        max(one.stability for one in judgements),
    ]
    for one in judgements:
        values = (one.silhouette, one.davies_bouldin, one.stability)
        texts = (f"{values[0]:.3f}", f"{values[1]:.3f}", f"{values[2]:.3f} ± {one.spread:.3f}")
        cells = [f"{text} {'*' if v == top else ' '}" for text, v, top in zip(texts, values, best, strict=True)]
        style = "bold" if one.k == suggestion.k else ""
        table.add_row(*(Text(cell, style=style) for cell in (str(one.k), *cells)))
    return table


def csv_of(judgements: Sequence[Judgement]) -> str:
    """One row for each number of clusters, with all digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["k", "silhouette", "davies_bouldin", "stability", "spread"])
    writer.writerows([one.k, one.silhouette, one.davies_bouldin, one.stability, one.spread] for one in judgements)
    return text.getvalue()


def plot_of(judgements: Sequence[Judgement], suggestion: Suggestion, what: str) -> bytes:
    """Three curves over the number of clusters, with the suggestion marked, as a PNG file."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from usseg.stages.evaluate.plots import png

    numbers = [one.k for one in judgements]
    figure = Figure(figsize=(6.4, 7.2), dpi=110, layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True)
    top.plot(numbers, [one.silhouette for one in judgements], "o-", color="#0072b2", markersize=4)
    middle.plot(numbers, [one.davies_bouldin for one in judgements], "o-", color="#0072b2", markersize=4)
    bottom.errorbar(
        numbers,
        [one.stability for one in judgements],
        [one.spread for one in judgements],
        **{"fmt": "o-", "color": "#0072b2", "markersize": 4, "capsize": 3},
    )
    bottom.axhline(STABLE, color="#606060", linestyle=":", label=f"stable: {STABLE} or more")
    bottom.legend(fontsize=8, loc="lower left")
    top.set(ylabel="silhouette\n(higher is better)", title=f"{what}: how many clusters?")
    middle.set(ylabel="Davies-Bouldin index\n(lower is better)")
    bottom.set(ylabel="stability\n(higher is better)", xlabel="number of clusters")
    bottom.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (top, middle, bottom):
        axes.grid(alpha=0.3)
        if suggestion.k is not None:
            axes.axvline(suggestion.k, color="#d55e00", linestyle="--", linewidth=1.2)
    if suggestion.k is not None:
        top.annotate(
            f" {suggestion.k}", (suggestion.k, 1), xycoords=("data", "axes fraction"), color="#a84300", va="top"
        )
    return png(figure)
