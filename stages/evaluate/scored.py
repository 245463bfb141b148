"""What a scoring method is given of one image, and what it gives back of a split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class ScoredImage:
    """One image of H x W pixels with its truth: one of the last three is there."""

    map: npt.NDArray[np.int16]  # labels found (H, W)
    foreground: npt.NDArray[np.uint8] | None  # how sure each pixel is to be in an object, of 255; None: not stored
    labels: npt.NDArray[np.int64] | None = None  # classes (H, W), -1 not scored
    partitions: Sequence[npt.NDArray[np.int64]] | None = None  # regions (H, W), a map a person
    boxes: npt.NDArray[np.int64] | None = None  # (box, 4): xmin, ymin, xmax, ymax, half open


@dataclass(frozen=True)
class MapLabels:
    """What the labels of a map stand for, where they are clusters."""

    classes: Sequence[str]
    clusters: int  # rows of the confusion matrix
    first: int  # the label of the first row


@dataclass(frozen=True)
class SplitScores:
    """Scores of a split. `metrics` are those of the JSON file; its top-level floats, null where undefined, are the main ones."""

    metrics: dict[str, Any]
    rows: Sequence[tuple[str, float]]  # of the plotted table: name, score
    picture: bytes  # PNG
    confusion: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    matching: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    titles: Mapping[str, str] = field(default_factory=dict)  # of main scores; a page shows the others by name
