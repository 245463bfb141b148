"""The table and the plots of scores. Equal numbers give equal bytes. Letters: K clusters, N classes."""

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
DRAWN = 60  # largest number of classes, and of clusters, in the plot of a confusion matrix
LONGEST = 40  # longest name in the plot, in letters


def scores_csv(rows: Sequence[tuple[str, float]]) -> str:
    """A CSV file with the columns name and score."""
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
    """A figure as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # `font_families` logs one line instead
        FigureCanvasAgg(figure).print_png(out, metadata={"Software": None})
    return out.getvalue()


def font_families(names: Iterable[str]) -> list[str]:
    """The font families that draw the names: the default family, then installed families with the missing letters.

    Letters that no installed font has are drawn as boxes, and the log names them.
    """
    from matplotlib.font_manager import FontProperties, findfont, fontManager

    default = FontProperties().get_name()
    chosen, missing = [default], set("".join(names)) - letters_of(findfont(default)) - set("\n\t\r")
    fonts = {font.name: font.fname for font in fontManager.ttflist if not font.name.startswith("Last Resort")}
    while missing:
        best = max(sorted(fonts), key=lambda name: len(missing & letters_of(fonts[name])))
        covered = missing & letters_of(fonts[best])
        if not covered:
            shown = ", ".join(sorted(missing)[:5])
            log.warning(
                "no installed font has %s: drawn as boxes; install a font that has, such as Noto Sans CJK", shown
            )
            break
        chosen.append(best)
        missing -= covered
    return chosen


@functools.cache
def letters_of(font: str) -> frozenset[str]:
    """The letters that a font file has."""
    from matplotlib.font_manager import get_font

    return frozenset(map(chr, get_font(font).get_charmap()))


def largest(pixels: npt.NDArray[np.int64]) -> list[int]:
    """The indices of the DRAWN rows with the most pixels, ascending."""
    return sorted(np.argsort(-pixels, kind="stable")[:DRAWN].tolist())


def confusion_png(confusion_KN: npt.NDArray[np.int64], names: Sequence[str], clusters: Sequence[str]) -> bytes:
    """Plot which share of the pixels of each class is in each cluster, as a PNG file.

    Among many classes or clusters only those with the most pixels are drawn. The title then states the numbers.
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
    """Plot curves over [0, 1) by name, with their peaks marked, as a PNG file."""
    figure, axes = figure_of(5, 3.4)
    for name, values in curves.items():
        positions = np.arange(len(values)) / len(values)
        top = int(values.argmax())
        axes.plot(positions, values, label=f"{name}, max {values[top]:.3f}")
        axes.plot(positions[top], values[top], "o", color="black", markersize=4)
    if curves:
        axes.legend(fontsize=8, loc="lower left")
    axes.set(xlabel=x, ylabel=y, xlim=(0, 1), ylim=(0, 1))
    return png(figure)


def histogram_png(values: Sequence[float], *, x: str) -> bytes:
    """Plot the number of images with a score in each twentieth of [0, 1], as a PNG file."""
    figure, axes = figure_of(5, 3.4)
    axes.hist(values, bins=np.linspace(0, 1, 21), edgecolor="white")
    axes.set(xlabel=x, ylabel="images", xlim=(0, 1))
    return png(figure)
