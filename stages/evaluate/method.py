"""What a scoring method gets, and what it returns. Read this before you write one.

Letters: an image has H x W pixels.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.methods import Method

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ScoredImage:
    """One image with its ground truth. Exactly one of `labels`, `partitions` and `boxes` is not None.

    Attributes:
        map: int16 (H, W), the labels of the refined map.
        foreground: uint8 (H, W), 255 times the foreground probability of each pixel; None where it is not stored.
        labels: int64 (H, W), the true class of each pixel; a negative value is not scored.
        partitions: int64 (H, W) each, the true regions by each annotator.
        boxes: int64 (box, 4), the true boxes: xmin, ymin, xmax, ymax, half open.
    """

    map: npt.NDArray[np.int16]
    foreground: npt.NDArray[np.uint8] | None
    labels: I64 | None = None
    partitions: Sequence[I64] | None = None
    boxes: I64 | None = None


@dataclass(frozen=True)
class MapLabels:
    """The meaning of the labels in the maps. Without classes and clusters where the method does not read `cluster`.

    Attributes:
        classes: the names of the true classes, in the order of their labels.
        clusters: the number of clusters.
        background: label 0 is the background.
        collision: cluster c has label c, so that cluster 0 and the background share a label. Otherwise cluster c has
            label c + 1.
    """

    classes: Sequence[str] = ()
    clusters: int = 0
    background: bool = False
    collision: bool = False

    def scored_labels(self, *, background: bool) -> range:
        """The labels that are scored, in ascending order.

        Label 0 is left out where no pixel can have it, and where `background` is false, unless it is also cluster 0.
        """
        first = 0 if self.collision or (self.background and background) else 1
        return range(first, self.clusters if self.collision else self.clusters + 1)


def no_background(sections: Mapping[str, Any]) -> str:
    """The param by which no pixel of the maps is background, such as `cluster.rows: tokens`; else an empty string.

    Args:
        sections: the params of every stage by name.
    """
    if sections["refine"].source == "assign" and sections["cluster"].rows == "tokens":
        return "cluster.rows: tokens"
    return "segments.background: none" if sections["segments"].background == "none" else ""


def no_labels() -> I64:
    """No labels: for a method without a confusion matrix."""
    return np.zeros(0, np.int64)


@dataclass(frozen=True)
class SplitScores:
    """The scores of a split.

    Attributes:
        metrics: the main scores, which `main_scores` selects, and details of any other JSON type. Two files hold them.
        rows: (name, score) of each row of the table of scores. The names are unique.
        picture: a PNG file.
        confusion: int64 (row, class), the pixels of each scored label by true class; no rows for a method without one.
        labels: int64 (row,), the label in the maps of each row of `confusion`.
        matching: int64 (row,), the class of each row of `confusion`, -1 for no class.
        remarks: warnings for the log: how much was left out, and params that are probably wrong.
    """

    metrics: dict[str, Any]
    rows: Sequence[tuple[str, float]]
    picture: bytes
    confusion: I64 = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    labels: I64 = field(default_factory=no_labels)
    matching: I64 = field(default_factory=no_labels)
    remarks: Sequence[str] = ()


def main_scores(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """The main scores of a split: all floats, and None for an undefined score.

    Ints are counts, mappings are details.
    """
    return {name: value for name, value in metrics.items() if value is None or isinstance(value, float)}


def no_doubts(options: Any, sections: Mapping[str, Any]) -> Sequence[str]:
    """No warnings: for a method that warns of no params."""
    return ()


@dataclass(frozen=True)
class EvaluateMethod(Method):
    """The entry of a scoring method.

    `call(images, options, labels)` returns the scores of a split. `images` yields the images with ground truth, in the
    order of the index, once. It may be empty: then every score is None or absent. No score may be NaN or infinite;
    None means that nothing could be scored.

    Attributes:
        truth: the allowed kinds of ground truth: "a label image", "segmentations", "boxes". Other kinds are refused.
        titles: name of a main score -> its title in the report. A score without a title is shown by its name.
        lower: names of the main scores of which a lower value is better.
        objects: in maps and ground truth label 0 is the background, and every other label is an object.
        doubts: gets the options and the params of every stage by name. It returns a warning for each value that is
            allowed but probably wrong.
    """

    call: Callable[[Iterable[ScoredImage], Any, MapLabels], SplitScores]
    truth: tuple[str, ...] = field(kw_only=True)
    titles: Mapping[str, str] = field(default_factory=dict)
    lower: tuple[str, ...] = ()
    objects: bool = False
    doubts: Callable[[Any, Mapping[str, Any]], Sequence[str]] = no_doubts
