"""The confusion matrix as a picture, the scores as a table."""

import csv
import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def per_class_csv(names: Sequence[str], iou: npt.NDArray[np.float64], accuracy: npt.NDArray[np.float64]) -> str:
    """Columns class, iou, accuracy; classes with nothing to score are left out."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["class", "iou", "accuracy"])
    for name, value, share in zip(names, iou, accuracy, strict=True):
        if not np.isnan(value):
            writer.writerow([name, f"{value:.6f}", "" if np.isnan(share) else f"{share:.6f}"])
    return text.getvalue()


def confusion_png(confusion_KN: npt.NDArray[np.int64], names: Sequence[str], clusters: Sequence[str]) -> bytes:
    """Share of each class's pixels by cluster; the same bytes for the same numbers."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    share = confusion_KN / np.maximum(confusion_KN.sum(axis=0, keepdims=True), 1)
    figure = Figure(figsize=(2 + 0.36 * len(names), 1.6 + 0.36 * len(clusters)), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    if share.size:
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(len(clusters)), clusters, fontsize=8)
    axes.set_xlabel("class")
    axes.set_ylabel("cluster (class it is matched to)")
    out = io.BytesIO()
    FigureCanvasAgg(figure).print_png(out, metadata={"Software": None})
    return out.getvalue()
