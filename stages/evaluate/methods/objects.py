"""Object masks: label 0 is the background, all others are object. Against masks accuracy, IoU and maxF; against boxes CorLoc."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from usseg.stages.evaluate.objects import (
    Box,
    MaskCounts,
    best_overlap,
    central_crop,
    corloc,
    f_curve,
    mask_counts,
    object_box,
    object_scores,
)
from usseg.stages.evaluate.plots import curves_png, histogram_png
from usseg.stages.evaluate.scored import MapLabels, ScoredImage, SplitScores

TRUTH = ("a label image", "boxes")
# Of the main scores, on a page.
TITLES = {
    "accuracy": "pixel accuracy",
    "iou": "IoU",
    "dataset_iou": "IoU over all images",
    "max_f": "maxF, β² = 0.3",
    "max_f_selfmask": "maxF as SelfMask has it",
    "corloc": "CorLoc",
}


def score(images: Iterable[ScoredImage], params: Any, labels: MapLabels) -> SplitScores:
    """Scores of masks, or of boxes where the truth is boxes; images without a pixel or box to score are left out."""
    counts: list[MaskCounts] = []
    found: list[Box | None] = []
    truths: list[list[Box]] = []
    soft = boxes = False
    for image in images:
        if image.boxes is None:
            soft = image.foreground is not None
            counts += [one for one in [masks_of(image, protocol=params.protocol)] if one.pixels]
        else:
            boxes = True
            found.append(object_box(image.map > 0, pick=params.pick))
            truths.append([tuple(box) for box in image.boxes.tolist()])
    return box_scores(found, truths, params) if boxes else mask_scores(counts, params, soft=soft)


def masks_of(image: ScoredImage, *, protocol: str) -> MaskCounts:
    """Count an image over its scored pixels: the mask is the map's, the thresholds see the soft foreground where there is one."""
    assert image.labels is not None
    mask, truth, counted = image.map > 0, image.labels > 0, image.labels >= 0
    soft = mask.astype(np.float32) if image.foreground is None else image.foreground / np.float32(255)
    if protocol == "crop320":
        mask, truth, counted = (central_crop(part) > 0.5 for part in (mask, truth, counted))
        soft = central_crop(soft)
    return mask_counts(soft[counted], truth[counted], mask=mask[counted])


def mask_scores(counts: list[MaskCounts], params: Any, *, soft: bool) -> SplitScores:
    """Accuracy, IoU and maxF of what was counted, and the mean F-beta at each threshold."""
    found = object_scores(counts) if counts else None
    main = {name: getattr(found, name, None) for name in ("accuracy", "iou", "dataset_iou", "max_f", "max_f_selfmask")}
    convention = {"method": "objects", "protocol": params.protocol, "soft": soft}
    metrics = {"num_scored": len(counts), **main, "convention": convention}
    curves = {"β² = 0.3": np.mean([f_curve(one) for one in counts], axis=0)} if counts else {}
    rows = [(name, value) for name, value in main.items() if value is not None]
    return SplitScores(metrics, rows, curves_png(curves, x="threshold", y="F, mean over images"), titles=TITLES)


def box_scores(boxes: list[Box | None], truths: list[list[Box]], params: Any) -> SplitScores:
    """CorLoc, and the IoU of each image's box."""
    overlaps = [best_overlap(box, true) for box, true in zip(boxes, truths, strict=True) if true]
    found = corloc(boxes, truths)
    metrics = {
        "num_scored": len(overlaps),
        "corloc": found,
        "convention": {"method": "objects", "pick": params.pick},
    }
    picture = histogram_png(overlaps, x="IoU of the box with the nearest true one")
    return SplitScores(metrics, [("corloc", found)] if found is not None else [], picture, titles=TITLES)
