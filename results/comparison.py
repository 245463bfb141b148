"""Comparison of methods: run every pair with the same features, for each seed; write tables and a page of scores."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from usseg.pipeline.disk import write_file
from usseg.pipeline.errors import ParamsError
from usseg.pipeline.execution import Execution
from usseg.pipeline.params import nearest
from usseg.pipeline.project import Project
from usseg.results.comparison_page import comparison_page
from usseg.results.comparison_tables import FORMATS, screen_table, sentence
from usseg.results.method_pairs import Pair, run_pairs
from usseg.results.metrics import read_metrics, shown
from usseg.results.number_list import numbers_of
from usseg.results.score_summary import RunScores, Summary, summarize
from usseg.stages.evaluate.method import main_scores

if TYPE_CHECKING:
    from rich.table import Table

LARGEST_SEED = 1_000_000_000  # as of every param `seed`


@dataclass(frozen=True)
class Request:
    """What is compared, as on the command line: names are separated by commas.

    Attributes:
        segments: values of `segments.method`.
        cluster: values of `cluster.method`.
        split: the split of the scores.
        seeds: such as `0-4` or `0,3,7`; empty: one run of each pair, with the seeds of params.yaml.
        formats: names of the tables that are written.
    """

    segments: str
    cluster: str
    split: str = "val"
    seeds: str = ""
    formats: str = "csv,md,latex"


def compare_methods(project: Project, request: Request, execution: Execution) -> "Iterator[str | Table]":
    """Bring every run up to date below `comparison/` of the project; write tables of scores and `index.html` there.

    Tables of an earlier comparison that are not written again are removed: they could contradict the page.

    Args:
        project: the project.
        request: what is compared.
        execution: how to run.

    Yields:
        One line with the scores of each finished run, the table of all scores with its caption, and lines with paths.

    Raises:
        ParamsError: an unknown format or split, or a list of seeds that is none.
        ParamsError, ArtifactError, ImageError: as `run_pairs`.
    """
    segments, clusters = listed_names(request.segments, "--segments"), listed_names(request.cluster, "--cluster")
    formats = listed_names(request.formats, "--format")
    for name in formats:
        if name not in FORMATS:
            raise ParamsError(f"--format: no format {name!r}{nearest(name, FORMATS)} (known: {', '.join(FORMATS)})")
    seeds = numbers_of(request.seeds, option="--seeds", low=0, high=LARGEST_SEED) if request.seeds else ()
    split = request.split
    if split not in project.splits:
        raise ParamsError(
            f"--split: no split {split!r}{nearest(split, project.splits)} (known: {', '.join(project.splits)})"
        )
    folder = project.root / "comparison"
    runs: list[tuple[Pair, RunScores]] = []
    for pair in run_pairs(project, folder, segments, clusters, execution, seeds=seeds):
        scores = main_scores(read_metrics(pair.project.root, split))
        runs.append((pair, RunScores(pair.segments, pair.cluster, pair.seed, scores)))
        yield line_of(pair, scores)
    summary = summary_of(project, [run for _, run in runs], split=split, seeds=seeds)
    yield screen_table(summary)
    yield sentence(summary, "*")
    tables = write_tables(folder, summary, formats)
    pairs = [pair for pair, _ in runs if pair.seed in (None, *seeds[:1])]
    write_file(folder / "index.html", comparison_page(pairs, summary, tables).encode())
    yield from (f"table: {folder / name}" for name in tables.values())
    yield f"page: {folder / 'index.html'}"


def listed_names(text: str, option: str) -> list[str]:
    """The names of a list that is separated by commas.

    Raises:
        ParamsError: a name is empty or repeated.
    """
    names = [name.strip() for name in text.split(",")]
    for place, name in enumerate(names):
        if not name or name in names[:place]:
            found = f"{name!r} twice" if name else "an empty name"
            raise ParamsError(f"{option}: found {found}; give every name once, separated by commas")
    return names


def line_of(pair: Pair, scores: Mapping[str, float | None]) -> str:
    """The line of a finished run."""
    line = ", ".join(f"{name} {shown(value)}" for name, value in scores.items()) or "done"
    seed = "" if pair.seed is None else f"seed {pair.seed:<4} "
    return f"{pair.segments:<12} {pair.cluster:<8} {seed}{line}"


def summary_of(project: Project, runs: Sequence[RunScores], *, split: str, seeds: tuple[int, ...]) -> Summary:
    """The summary of runs, with the titles of the scoring method of the project."""
    method: Any = project.stages["evaluate"].method(project.params["evaluate"])
    return summarize(runs, split=split, seeds=seeds, titles=method.titles, lower=frozenset(method.lower))


def write_tables(folder: Path, summary: Summary, formats: Sequence[str]) -> dict[str, str]:
    """Write the tables of some formats and remove those of the others. Returns format -> name of its file."""
    written = {}
    for name, (file, table) in FORMATS.items():
        if name in formats:
            write_file(folder / file, table(summary).encode())
            written[name] = file
        else:
            (folder / file).unlink(missing_ok=True)
    return written
