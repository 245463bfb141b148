"""What a scoring method gets, and what it returns: read this before you write one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.methods import Method

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ScoredImage:
    """One image of H x W pixels with its truth: one of the last three is there."""

    map: npt.NDArray[np.int16]  # labels found (H, W)
    foreground: (
        npt.NDArray[np.uint8] | None
    )  # 255 times the probability of each pixel to be in an object; None: not stored
    labels: I64 | None = None  # classes (H, W), -1 not scored
    partitions: Sequence[I64] | None = None  # regions (H, W), a map a person
    boxes: I64 | None = None  # (box, 4): xmin, ymin, xmax, ymax, half open


@dataclass(frozen=True)
class MapLabels:
    """What the labels of the maps stand for, where they are clusters; no class and no cluster where the method does not read `cluster`.

    Attributes:
        classes: names of the classes of the truth, by label.
        clusters: how many were fitted.
        background: label 0 is the background.
        collision: cluster c has label c, so that cluster 0 and the background are one label. Otherwise it has label c
            + 1.
    """

    classes: Sequence[str] = ()
    clusters: int = 0
    background: bool = False
    collision: bool = False

    def scored_labels(self, *, background: bool) -> range:
        """The labels that are scored, in order: without 0 where the background is not scored, or no pixel can have that label."""
        first = 0 if self.collision or (self.background and background) else 1
        return range(first, self.clusters if self.collision else self.clusters + 1)


def no_background(sections: Mapping[str, Any]) -> str:
    """The param of another stage by which no pixel of the maps is background; empty where some may be.

    Args:
        sections: the params of every stage by name.
    """
    if sections["refine"].source == "assign" and sections["cluster"].rows == "tokens":
        return "cluster.rows: tokens"
    return "segments.background: none" if sections["segments"].background == "none" else ""


def no_labels() -> I64:
    """The labels of a method without a confusion matrix."""
    return np.zeros(0, np.int64)


@dataclass(frozen=True)
class SplitScores:
    """Scores of a split.

    Attributes:
        metrics: the content of the JSON file. `main_scores` says which of them are main ones.
        rows: (name, score) of the plotted table; names differ.
        picture: a PNG.
        confusion: int64 (row, class), pixels of the scored labels by their class; no rows for a method that counts
            none.
        labels: int64 (row,), the label in the maps that each row of `confusion` counts.
        matching: int64 (row,), the class of each row of `confusion`, -1 none.
        remarks: lines for the log: what was left out, and how much; what cannot be right.
    """

    metrics: dict[str, Any]
    rows: Sequence[tuple[str, float]]
    picture: bytes
    confusion: I64 = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    labels: I64 = field(default_factory=no_labels)
    matching: I64 = field(default_factory=no_labels)
    remarks: Sequence[str] = ()


def main_scores(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """The scores of the split as a whole, whatever the method; None where undefined.

    Counts are ints, parts are mappings.
    """
    return {name: value for name, value in metrics.items() if value is None or isinstance(value, float)}


def no_doubts(options: Any, sections: Mapping[str, Any]) -> Sequence[str]:
    """A method that has nothing to say about params that are allowed."""
    return ()


@dataclass(frozen=True)
class EvaluateMethod(Method):
    """The entry of a scoring method.

    `call(images, options, labels)` returns the scores of a split. `images` has those with a truth, in the order of the
    index; it can be gone through once, and may be empty: then every score is None, or is not there. A number that is
    not finite must not occur: None says that nothing could be scored.

    Attributes:
        truth: what the truth of an image may be: "a label image", "segmentations", "boxes". Others are refused.
        titles: what a page calls the main scores; others are shown by their name.
        objects: label 0 is the background in maps and truth, every other label is object.
        doubts: gets the options and the params of every stage by name; gives a line for each value that is allowed but
            is probably not meant.
    """

    call: Callable[[Iterable[ScoredImage], Any, MapLabels], SplitScores]
    truth: tuple[str, ...] = field(kw_only=True)
    titles: Mapping[str, str] = field(default_factory=dict)
    objects: bool = False
    doubts: Callable[[Any, Mapping[str, Any]], Sequence[str]] = no_doubts
