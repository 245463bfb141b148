"""The scores as a table, and pictures of what is behind them; equal numbers give equal bytes."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


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
    FigureCanvasAgg(figure).print_png(out, metadata={"Software": None})
    return out.getvalue()


def confusion_png(confusion_KN: npt.NDArray[np.int64], names: Sequence[str], clusters: Sequence[str]) -> bytes:
    """Share of each class's pixels by cluster."""
    share = confusion_KN / np.maximum(confusion_KN.sum(axis=0, keepdims=True), 1)
    figure, axes = figure_of(2 + 0.36 * len(names), 1.6 + 0.36 * len(clusters))
    if share.size:
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(len(clusters)), clusters, fontsize=8)
    axes.set_xlabel("class")
    axes.set_ylabel("cluster (class it is matched to)")
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
