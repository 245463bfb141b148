"""The scores as a table, and pictures of what is behind them; equal numbers give equal bytes."""

import csv
import functools
import io
import logging
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

log = logging.getLogger("usseg")
DRAWN = 60  # classes, and clusters, in the picture of a confusion matrix
LONGEST = 40  # letters of a name in it


def scores_csv(rows: Sequence[tuple[str, float]]) -> str:
    """Columns name, score."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "score"])
    writer.writerows([name, f"{value:.6f}"] for name, value in rows)
    return text.getvalue()


def figure_of(width: float, height: float) -> tuple[Any, Any]:
    """A figure of this size in inches, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    return figure, figure.add_subplot()


def png(figure: Any) -> bytes:
    """A figure as a file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # `font_families` says so in one line
        FigureCanvasAgg(figure).print_png(out, metadata={"Software": None})
    return out.getvalue()


def font_families(names: Iterable[str]) -> list[str]:
    """Font families that draw the names: the usual one, and where it lacks letters those installed ones that have most of them.

    Letters that no installed font has are drawn as boxes, with a line.
    """
    from matplotlib.font_manager import FontProperties, findfont, fontManager

    usual = FontProperties().get_name()
    chosen, lacking = [usual], set("".join(names)) - letters_of(findfont(usual)) - set("\n\t\r")
    fonts = {font.name: font.fname for font in fontManager.ttflist if not font.name.startswith("Last Resort")}
    while lacking:
        best = max(sorted(fonts), key=lambda name: len(lacking & letters_of(fonts[name])))
        found = lacking & letters_of(fonts[best])
        if not found:
            shown = ", ".join(sorted(lacking)[:5])
            log.warning(
                "no installed font has %s: drawn as boxes; install a font that has, such as Noto Sans CJK", shown
            )
            break
        chosen.append(best)
        lacking -= found
    return chosen


@functools.cache
def letters_of(font: str) -> frozenset[str]:
    """The letters that a font file has."""
    from matplotlib.font_manager import get_font

    return frozenset(map(chr, get_font(font).get_charmap()))


def largest(pixels: npt.NDArray[np.int64]) -> list[int]:
    """The places of the DRAWN rows with most pixels, in order."""
    return sorted(np.argsort(-pixels, kind="stable")[:DRAWN].tolist())


def confusion_png(confusion_KN: npt.NDArray[np.int64], names: Sequence[str], clusters: Sequence[str]) -> bytes:
    """Share of each class's pixels by cluster.

    Where there are many, those with most pixels are drawn, and the title says so.
    """
    rows, columns = largest(confusion_KN.sum(axis=1)), largest(confusion_KN.sum(axis=0))
    share = (confusion_KN / np.maximum(confusion_KN.sum(axis=0, keepdims=True), 1))[np.ix_(rows, columns)]
    figure, axes = figure_of(2 + 0.36 * len(columns), 1.6 + 0.36 * len(rows))
    if share.size:
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    drawn = [
        [name if len(name) <= LONGEST else f"{name[:LONGEST]}..." for name in part]
        for part in ([names[column] for column in columns], [clusters[row] for row in rows])
    ]
    written: dict[str, Any] = {"fontsize": 8, "parse_math": False}
    families = font_families([name for part in drawn for name in part])
    if len(families) > 1:
        written["fontfamily"] = families
    axes.set_xticks(range(len(columns)), drawn[0], rotation=60, ha="right", **written)
    axes.set_yticks(range(len(rows)), drawn[1], **written)
    axes.set_xlabel("class")
    axes.set_ylabel("cluster (class it is matched to)")
    if share.shape != confusion_KN.shape:
        axes.set_title(
            f"{len(columns)} of {len(names)} classes, {len(rows)} of {len(clusters)} clusters: those with most pixels",
            fontsize=8,
        )
    return png(figure)


def curves_png(curves: Mapping[str, npt.NDArray[np.float64]], *, x: str, y: str) -> bytes:
    """Curves over [0, 1) by name, their peaks marked."""
    figure, axes = figure_of(5, 3.4)
    for name, values in curves.items():
        places = np.arange(len(values)) / len(values)
        top = int(values.argmax())
        axes.plot(places, values, label=f"{name}, max {values[top]:.3f}")
        axes.plot(places[top], values[top], "o", color="black", markersize=4)
    if curves:
        axes.legend(fontsize=8, loc="lower left")
    axes.set(xlabel=x, ylabel=y, xlim=(0, 1), ylim=(0, 1))
    return png(figure)


def histogram_png(values: Sequence[float], *, x: str) -> bytes:
    """How many images have a score in each twentieth of [0, 1]."""
    figure, axes = figure_of(5, 3.4)
    axes.hist(values, bins=np.linspace(0, 1, 21), edgecolor="white")
    axes.set(xlabel=x, ylabel="images", xlim=(0, 1))
    return png(figure)
