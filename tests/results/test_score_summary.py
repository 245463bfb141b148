"""Mean, standard deviation and best pair, by hand; the tables that show them."""

import csv
import io
import math
from typing import Any

import pytest

from usseg.results.comparison_tables import csv_table, latex_table, markdown_table, screen_table
from usseg.results.score_summary import RunScores, Summary, cell_of, summarize
from usseg.results.tables import show

A, B = [0.70, 0.74, 0.78], [0.6, 0.6, 0.9]  # means 0.74 and 0.7, squared differences 0.0032 and 0.06 in all


def summary(scores: dict[tuple[str, str], list[dict[str, Any]]], **options: Any) -> Summary:
    seeds = options.pop("seeds", (0, 1, 2))
    runs = [RunScores(*pair, seeds[i], one) for pair, found in scores.items() for i, one in enumerate(found)]
    return summarize(runs, split="val", seeds=seeds, **options)


@pytest.fixture
def two() -> Summary:
    """Two pairs with three seeds. A higher miou and a lower voi are better."""
    scores = {
        ("spectral", "kmeans"): [{"miou": a, "voi": 1.5} for a in A],
        ("spectral", "a_b|c"): [{"miou": b, "voi": 1.25} for b in B],
    }
    return summary(scores, titles={"miou": "mIoU"}, lower=frozenset({"voi", "other"}))


def test_mean_and_sample_standard_deviation() -> None:
    a, b = cell_of(A), cell_of(B)
    assert (a.mean, a.deviation) == pytest.approx((0.74, math.sqrt(0.0032 / 2)))
    assert (b.mean, b.deviation) == pytest.approx((0.7, math.sqrt(0.06 / 2)))
    assert (a.text, b.text) == ("0.740 ± 0.040", "0.700 ± 0.173")


def test_one_run_has_no_deviation() -> None:
    assert (cell_of([0.5]).mean, cell_of([0.5]).deviation, cell_of([0.5]).text) == (0.5, None, "0.500")
    assert cell_of([0.5, 0.5]).text == "0.500 ± 0.000"


@pytest.mark.parametrize("scores", [[None], [None, 0.5], []])
def test_an_undefined_score_leaves_no_mean(scores: list[float | None]) -> None:
    assert (cell_of(scores).mean, cell_of(scores).deviation, cell_of(scores).text) == (None, None, "-")


def test_the_best_mean_is_marked_and_lower_may_be_better(two: Summary) -> None:
    first, second = two.rows.values()
    assert (first["miou"].best, second["miou"].best) == (True, False)
    assert (first["voi"].best, second["voi"].best) == (False, True)
    assert two.headings == ["mIoU", "voi (lower is better)"]


def test_equal_as_shown_is_equally_good() -> None:
    found = summary({("a", "x"): [{"s": 0.50004}], ("a", "y"): [{"s": 0.49996}], ("a", "z"): [{"s": 0.4}]}, seeds=(7,))
    assert [cells["s"].best for cells in found.rows.values()] == [True, True, False]
    assert "one run of each pair, with seed 7" in found.caption


def test_one_pair_and_undefined_scores_are_not_best() -> None:
    assert not summary({("a", "x"): [{"s": 0.5}]}, seeds=(0,)).rows["a", "x"]["s"].best
    found = summary({("a", "x"): [{"s": None}], ("a", "y"): [{"s": None}]}, seeds=(0,))
    assert not any(cells["s"].best for cells in found.rows.values())


def test_csv_has_a_row_for_each_run(two: Summary) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_table(two))))
    assert [row["miou"] for row in rows] == ["0.7", "0.74", "0.78", "0.6", "0.6", "0.9"]
    assert rows[4] == {
        **{"segments": "spectral", "cluster": "a_b|c", "seed": "1", "split": "val", "miou": "0.6", "voi": "1.25"}
    }
    without = summarize([RunScores("a", "x", None, {"s": None})], split="val")
    assert csv_table(without) == "segments,cluster,seed,split,s\na,x,,val,\n"


def test_markdown_by_hand(two: Summary) -> None:
    assert (
        markdown_table(two)
        == """\
| segments | cluster | mIoU | voi (lower is better) |
|---|---|--:|--:|
| spectral | kmeans | **0.740 ± 0.040** | 1.500 ± 0.000 |
| spectral | a_b\\|c | 0.700 ± 0.173 | **1.250 ± 0.000** |

Split val; mean ± sample standard deviation over n = 3 seeds (0-2). Bold: the best mean of a column.
"""
    )


def test_latex_by_hand(two: Summary) -> None:
    lines = latex_table(two).splitlines()
    assert lines[0].startswith("% Split val; mean +- sample standard deviation over n = 3 seeds (0-2). Bold: the best")
    assert lines[1:] == [
        r"\begin{tabular}{llrr}",
        r"\toprule",
        r"segments & cluster & mIoU & voi (lower is better) \\",
        r"\midrule",
        r"spectral & kmeans & \textbf{0.740} $\pm$ 0.040 & 1.500 $\pm$ 0.000 \\",
        r"spectral & a\_b|c & 0.700 $\pm$ 0.173 & \textbf{1.250} $\pm$ 0.000 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_greek_letters_are_latex_commands() -> None:
    titles = {"max_f": "maxF, β² = 0.3 & 50 %"}
    found = latex_table(summary({("a", "x"): [{"max_f": 0.5}]}, seeds=(0,), titles=titles))
    assert r"maxF, $\beta$$^2$ = 0.3 \& 50 \%" in found
    assert found.isascii()


def test_the_screen_has_a_star_and_takes_brackets_as_text(two: Summary, capsys: pytest.CaptureFixture[str]) -> None:
    show([screen_table(two)])
    shown = capsys.readouterr().out
    assert "0.740 ± 0.040 *" in shown
    assert "1.250 ± 0.000 *" in shown
    show([screen_table(summary({("[/b]", "[red]"): [{"s": 0.5}]}, seeds=(0,)))])
    assert "[/b]" in (shown := capsys.readouterr().out)
    assert "[red]" in shown


def test_without_labels_the_tables_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    found = summary({("a", "x"): [{}], ("a", "y"): [{}]}, seeds=(0,))
    assert "| a | x |\n" in markdown_table(found)
    assert "split val: no labels, so no scores" in found.caption
    show([screen_table(found)])
    assert "segments ┃ cluster ┃" in capsys.readouterr().out
