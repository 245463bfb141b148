"""Mean and standard deviation of the scores of compared methods over seeds, and the best method of each score."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from usseg.results.metrics import shown
from usseg.results.number_list import written

Methods = tuple[str, str]  # a segments method and a cluster method


@dataclass(frozen=True)
class RunScores:
    """The scores of one run: a pair of methods with one seed.

    Attributes:
        segments: the value of `segments.method`.
        cluster: the value of `cluster.method`.
        seed: the seed of the comparison; None: the run has the seeds of params.yaml.
        scores: name -> score; None for an undefined one. Empty without labels.
    """

    segments: str
    cluster: str
    seed: int | None
    scores: Mapping[str, float | None]

    @property
    def methods(self) -> Methods:
        """Both methods of the run."""
        return self.segments, self.cluster


@dataclass(frozen=True)
class Cell:
    """A score of a pair of methods.

    Attributes:
        mean: the mean over seeds; None where a run has no score.
        deviation: the sample standard deviation, with n - 1; None where there is one run.
        best: no other pair has a better mean, up to the digits that are shown.
    """

    mean: float | None
    deviation: float | None
    best: bool = False

    @property
    def text(self) -> str:
        """Mean and standard deviation with three decimals, such as `0.722 ± 0.012`."""
        return shown(self.mean) if self.deviation is None else f"{shown(self.mean)} ± {shown(self.deviation)}"


@dataclass(frozen=True)
class Summary:
    """The scores of all pairs of methods.

    Attributes:
        split: the split that is scored.
        seeds: the seeds of the comparison; empty: those of params.yaml.
        runs: every run, ordered by pair, then by seed.
        titles: name of a score -> its title. The order is that of the columns.
        lower: names of the scores of which a lower value is better.
        rows: pair -> name of a score -> cell.
    """

    split: str
    seeds: tuple[int, ...]
    runs: tuple[RunScores, ...]
    titles: Mapping[str, str]
    lower: frozenset[str]
    rows: Mapping[Methods, Mapping[str, Cell]]

    @property
    def headings(self) -> list[str]:
        """The title of each column of scores. A score of which a lower value is better says so."""
        return [title + (" (lower is better)" if name in self.lower else "") for name, title in self.titles.items()]

    @property
    def caption(self) -> str:
        """One sentence on what a cell holds."""
        if not self.titles:
            return f"split {self.split}: no labels, so no scores"
        if not self.seeds:
            return f"split {self.split}; one run of each pair, with the seeds of params.yaml"
        if len(self.seeds) == 1:
            return f"split {self.split}; one run of each pair, with seed {self.seeds[0]}"
        n = len(self.seeds)
        return f"split {self.split}; mean ± sample standard deviation over n = {n} seeds ({written(self.seeds)})"


def summarize(
    runs: Sequence[RunScores],
    *,
    split: str,
    seeds: tuple[int, ...] = (),
    titles: Mapping[str, str] | None = None,
    lower: frozenset[str] = frozenset(),
) -> Summary:
    """Summarise runs by pair of methods.

    Args:
        runs: the runs, in any order. Every pair has one run for each seed.
        split: the split that is scored.
        seeds: the seeds of the comparison.
        titles: name of a score -> its title; a score without a title has its name.
        lower: names of the scores of which a lower value is better.
    """
    by_pair: dict[Methods, list[RunScores]] = {}
    for run in runs:
        by_pair.setdefault(run.methods, []).append(run)
    names = list(dict.fromkeys(name for run in runs for name in run.scores))
    rows: dict[Methods, dict[str, Cell]] = {
        pair: {name: cell_of([run.scores.get(name) for run in of_pair]) for name in names}
        for pair, of_pair in by_pair.items()
    }
    for name in names:
        mark_best(list(rows.values()), name, lower=name in lower)
    return Summary(
        split,
        seeds,
        tuple(run for of_pair in by_pair.values() for run in of_pair),
        {name: (titles or {}).get(name, name) for name in names},
        lower & set(names),
        rows,
    )


def cell_of(scores: Sequence[float | None]) -> Cell:
    """The mean and the sample standard deviation of the scores of some runs. An undefined score leaves no mean."""
    values = [score for score in scores if score is not None]
    if len(values) < len(scores) or not values:
        return Cell(None, None)
    return Cell(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


def mark_best(rows: Sequence[dict[str, Cell]], name: str, *, lower: bool) -> None:
    """Mark the best cells of a column. Means that are equal as shown are equally good; one row alone is not marked."""
    means = [round(cell.mean, 3) for cells in rows if (cell := cells[name]).mean is not None]
    if len(rows) < 2 or not means:
        return
    best = min(means) if lower else max(means)
    for cells in rows:
        cell = cells[name]
        if cell.mean is not None and round(cell.mean, 3) == best:
            cells[name] = Cell(cell.mean, cell.deviation, best=True)
