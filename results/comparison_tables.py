"""Tables of a comparison: CSV with one row a run; Markdown, LaTeX and the terminal with one row a pair of methods."""

import csv
import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from usseg.results.score_summary import Cell, Summary

if TYPE_CHECKING:
    from rich.table import Table

LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"±": r"$\pm$", "β": r"$\beta$", "²": "$^2$"},
}
KEYS = ["segments", "cluster"]  # headings of the columns of methods


def csv_table(summary: Summary) -> str:
    """One row a run: its methods, seed, split and scores with all digits. An undefined score is an empty field."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*KEYS, "seed", "split", *summary.titles])
    for run in summary.runs:
        seed = "" if run.seed is None else run.seed
        writer.writerow([*run.methods, seed, summary.split, *(run.scores.get(name) for name in summary.titles)])
    return text.getvalue()


def markdown_table(summary: Summary) -> str:
    """One row a pair of methods; the best means are bold. The caption is below."""

    def line(cells: list[str]) -> str:
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"

    def shown(cell: Cell) -> str:
        return f"**{cell.text}**" if cell.best else cell.text

    head = [*KEYS, *summary.headings]
    rows = [line([*pair, *map(shown, cells.values())]) for pair, cells in summary.rows.items()]
    ruler = f"|{'---|' * len(KEYS)}{'--:|' * len(summary.titles)}\n"
    return f"{line(head)}{ruler}{''.join(rows)}\n{sentence(summary, 'Bold')}\n"


def latex_table(summary: Summary) -> str:
    """A `tabular` in the style of the package booktabs; the best means are bold. The caption is a comment."""

    def shown(cell: Cell) -> str:
        text = cell.text.replace("±", r"$\pm$")
        return rf"\textbf{{{text.split(' ')[0]}}}{text[len(text.split(' ')[0]) :]}" if cell.best else text

    head = " & ".join(map(escaped, [*KEYS, *summary.headings]))
    rows = [
        " & ".join([*map(escaped, pair), *map(shown, cells.values())]) + r" \\" for pair, cells in summary.rows.items()
    ]
    lines = [
        f"% {sentence(summary, 'Bold')} Needs: \\usepackage{{booktabs}}".replace("±", "+-"),
        rf"\begin{{tabular}}{{{'l' * len(KEYS)}{'r' * len(summary.titles)}}}",
        *(r"\toprule", rf"{head} \\", r"\midrule", *rows, r"\bottomrule", r"\end{tabular}"),
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text for LaTeX: special characters are escaped."""
    return "".join(LATEX.get(character, character) for character in text)


def sentence(summary: Summary, mark: str) -> str:
    """The caption of a table as sentences. `mark` names how the best means are marked."""
    text = f"{summary.caption[:1].upper()}{summary.caption[1:]}."
    best = any(cell.best for cells in summary.rows.values() for cell in cells.values())
    return f"{text} {mark}: the best mean of a column." if best else text


def screen_table(summary: Summary) -> "Table":
    """The table for the terminal, without its caption; a star marks the best means."""
    from rich.table import Table
    from rich.text import Text

    table = Table(*KEYS)
    for heading in summary.headings:
        table.add_column(heading, justify="right")
    for pair, cells in summary.rows.items():
        marked = [
            Text(f"{cell.text} *", style="bold") if cell.best else Text(f"{cell.text}  ") for cell in cells.values()
        ]
        table.add_row(*map(Text, pair), *marked)
    return table


FORMATS: Mapping[str, tuple[str, Callable[[Summary], str]]] = {
    "csv": ("scores.csv", csv_table),
    "md": ("scores.md", markdown_table),
    "latex": ("scores.tex", latex_table),
}  # name of a format -> its file, and the function that writes it
