"""Scores of soft object masks against true masks, and of boxes against true boxes.

Letters: T thresholds, H x W pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
Box = tuple[float, float, float, float]
THRESHOLDS = np.arange(255, dtype=np.float32) / np.float32(255)
RESIZED, CROPPED = 335, 320  # Sempart's code: the shorter side after resizing, and the side of the central square
BETA_SQUARED = 0.3  # beta^2 of TokenCut
SELFMASK_BETA_SQUARED = 0.09  # SelfMask squares 0.3 once more


@dataclass(frozen=True)
class MaskCounts:
    """The pixel counts of one image."""

    pixels: int
    correct: int  # pixels that are right: in both masks or in neither
    both: int  # pixels in the mask and in the true mask
    either: int  # pixels in the mask or in the true mask
    truth: int  # pixels in the true mask
    predicted_T: npt.NDArray[np.int64]  # pixels above each threshold k / 255, k = 0 to 254
    hits_T: npt.NDArray[np.int64]  # those of them in the true mask


@dataclass(frozen=True)
class ObjectScores:
    """Scores in [0, 1]. The mean IoU is over images with a mask or a true mask; None where there is no such image."""

    accuracy: float
    iou: float | None
    dataset_iou: float | None
    max_f: float  # the F-curves are averaged over images, then the best threshold is taken
    max_f_selfmask: float  # the best threshold is taken for each image, then the mean; beta^2 = 0.09


def mask_counts(
    prediction: npt.NDArray[np.floating], truth: npt.NDArray[np.bool_], *, mask: npt.NDArray[np.bool_] | None = None
) -> MaskCounts:
    """Count the pixels of an image. A pixel passes a threshold if its value, as float32, is above the threshold.

    Args:
        prediction: floats in [0, 1], any shape.
        truth: bool, the same shape.
        mask: bool, the same shape, the mask for accuracy and IoU; None: prediction > 0.5.

    Raises:
        ValueError: the shapes differ.
    """
    if prediction.shape != truth.shape or (mask is not None and mask.shape != truth.shape):
        raise ValueError(f"object: prediction {prediction.shape} and truth {truth.shape} differ in shape")
    values, inside = np.asarray(prediction, np.float32).reshape(-1), np.asarray(truth, np.bool_).reshape(-1)
    above = values > 0.5 if mask is None else mask.reshape(-1)
    passed = np.searchsorted(THRESHOLDS, values, side="left")  # thresholds below the value

    def reversed_sums(chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        counts = np.bincount(chosen, minlength=len(THRESHOLDS) + 1)
        return counts[::-1].cumsum()[::-1][1:].astype(np.int64)

    return MaskCounts(
        pixels=len(values),
        correct=int((above == inside).sum()),
        both=int((above & inside).sum()),
        either=int((above | inside).sum()),
        truth=int(inside.sum()),
        predicted_T=reversed_sums(passed),
        hits_T=reversed_sums(passed[inside]),
    )


def f_curve(counts: MaskCounts, *, beta_squared: float = BETA_SQUARED) -> F64:
    """F-beta at every threshold: float64 (T,).

    Precision is 1 where nothing is predicted, recall is 1 where nothing is true, and F-beta is 0 where both are 0.
    """
    precision = np.where(counts.predicted_T > 0, counts.hits_T / np.maximum(counts.predicted_T, 1), 1.0)
    recall = counts.hits_T / counts.truth if counts.truth else np.ones(len(THRESHOLDS))
    denominator = beta_squared * precision + recall
    positive = denominator > 0
    return np.where(positive, (1 + beta_squared) * precision * recall / np.where(positive, denominator, 1.0), 0.0)


def object_scores(counts: Sequence[MaskCounts]) -> ObjectScores:
    """The scores of all images of a data set.

    Source: TokenCut's evaluation (accuracy, IoU, maxF with beta^2 = 0.3); SelfMask's maxF.

    Raises:
        ValueError: there is no image.
    """
    if not counts:
        raise ValueError("object: no image to score")
    shares = [one.both / one.either for one in counts if one.either]
    curves = np.stack([f_curve(one) for one in counts])
    lenient = np.stack([f_curve(one, beta_squared=SELFMASK_BETA_SQUARED) for one in counts])
    either = sum(one.either for one in counts)
    return ObjectScores(
        accuracy=float(np.mean([one.correct / max(1, one.pixels) for one in counts])),
        iou=float(np.mean(shares)) if shares else None,
        dataset_iou=sum(one.both for one in counts) / either if either else None,
        max_f=float(curves.mean(axis=0).max()),
        max_f_selfmask=float(lenient.max(axis=1).mean()),
    )


def object_box(mask: npt.NDArray[np.bool_], *, pick: str = "box") -> tuple[int, int, int, int] | None:
    """The box of one connected component of a mask: xmin, ymin, xmax, ymax, half open; None for an empty mask.

    Args:
        mask: bool (row, column).
        pick: `box`: the 4-connected component with the largest box (paper); `area`: the 4-connected component with the
            most pixels (FOUND's code); `area8`: the 8-connected component with the most pixels, or the whole image for
            an empty mask (DSM's code). Among equals the first component in row-major order is taken.

    Raises:
        ValueError: an unknown value of `pick`.
    """
    from scipy.ndimage import find_objects, label

    if pick not in ("box", "area", "area8"):
        raise ValueError(f"object: pick: found {pick!r}; box, area or area8 is allowed")
    components, count = label(mask, np.ones((3, 3)) if pick == "area8" else None)
    if not count:
        return (0, 0, mask.shape[1], mask.shape[0]) if pick == "area8" else None
    areas = np.bincount(components.reshape(-1))[1:]
    spans = [(rows.start, rows.stop, columns.start, columns.stop) for rows, columns in find_objects(components)]
    sizes = [(y1 - y0) * (x1 - x0) for y0, y1, x0, x1 in spans] if pick == "box" else areas
    y0, y1, x0, x1 = spans[int(np.argmax(sizes))]
    return x0, y0, x1, y1


def box_iou(first: Box, second: Box) -> float:
    """IoU of two boxes (xmin, ymin, xmax, ymax); 0 where both are empty."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    both = max(0.0, width) * max(0.0, height)
    areas = sum(max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1]) for box in (first, second))
    return both / (areas - both) if areas > both else 0.0


def best_overlap(box: Box | None, truths: Sequence[Box]) -> float:
    """The largest IoU of a box with a true box; 0 where there is no box."""
    return 0.0 if box is None else max((box_iou(box, other) for other in truths), default=0.0)


def corloc(boxes: Sequence[Box | None], truths: Sequence[Sequence[Box]], *, overlap: float = 0.5) -> float | None:
    """CorLoc: the share of images whose box has an IoU of at least `overlap` with a true box.

    An image without a box counts as a miss. An image without a true box is left out. None where no image has a true
    box.

    Source: Deselaers et al. (ECCV 2010), as used by TokenCut and FOUND.
    """
    pairs = [(box, true) for box, true in zip(boxes, truths, strict=True) if len(true)]
    hits = [best_overlap(box, true) >= overlap for box, true in pairs]
    return float(np.mean(hits)) if hits else None


def central_crop(values_HW: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Resize an array bilinearly to a shorter side of 335, and crop the central 320 x 320 pixels: float32 (320, 320).

    Source: evaluation of Two Tricks (seed code), which treats images, masks and predictions in this way.
    """
    from PIL import Image

    height, width = values_HW.shape
    short = min(height, width)
    size = (int(RESIZED * width / short), int(RESIZED * height / short))
    floats = Image.fromarray(values_HW.astype(np.float32))
    resized = np.asarray(floats.resize(size, Image.Resampling.BILINEAR))
    top, left = (round((side - CROPPED) / 2) for side in resized.shape)
    return resized[top : top + CROPPED, left : left + CROPPED]
