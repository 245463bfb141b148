"""Semantic maps: one confusion matrix of the split, every score from it."""

import logging
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.stages.evaluate.matching import confusion_matrix, drop_surplus, match
from usseg.stages.evaluate.plots import confusion_png
from usseg.stages.evaluate.scored import MapLabels, ScoredImage, SplitScores
from usseg.stages.evaluate.scores import Scores, scores

TRUTH = ("a label image",)
# Of the main scores, on a page.
TITLES = {"miou": "mIoU", "accuracy": "pixel accuracy"}
CROPPED = 320
log = logging.getLogger("usseg")
CONVENTIONS = {
    "stego": {"matching": "count", "absent": "drop", "surplus": "strict"},
    "primaps": {"matching": "count", "absent": "drop", "surplus": "many_to_one"},
    "dsm": {"matching": "iou", "absent": "zero", "surplus": "strict"},
    "majority": {"matching": "iou", "absent": "zero", "surplus": "majority"},
}


def score(images: Iterable[ScoredImage], params: Any, labels: MapLabels) -> SplitScores:
    """Mean IoU and accuracy, by class, and under the published conventions."""
    names = labels.classes
    confusion, labelled = np.zeros((labels.clusters, len(names)), np.int64), False
    known = uncovered = 0
    for image in images:
        assert image.labels is not None
        labelled = True
        found, truth = image.map, image.labels
        if params.protocol == "crop320":
            found, truth = central_labels(found), central_labels(truth)
        if params.background == "ignored":
            left_out = (found == 0) & (truth >= 0)
            known, uncovered = known + int((truth >= 0).sum()), uncovered + int(left_out.sum())
            truth = np.where(left_out, -1, truth)
        confusion += confusion_matrix(found - labels.first, truth, num_clusters=labels.clusters, num_classes=len(names))
    if params.background == "ignored" and labelled:
        log.warning("evaluate: background: ignored leaves out %d of %d pixels", uncovered, known)
    whole = confusion
    if params.surplus == "dropped":
        counted, confusion = confusion.sum(), drop_surplus(confusion)
        log.warning(
            "evaluate: surplus: dropped leaves out %d of %d pixels, those of %d clusters beyond the %d classes, as STEGO does",
            *(counted - confusion.sum(), counted, max(0, labels.clusters - len(names)), len(names)),
        )
    matching = np.full(labels.clusters, -1, np.int64)
    if confusion.any():
        matching = match(confusion, matching=params.matching, surplus=params.surplus)
    result = scores(confusion, matching, absent=params.absent, extra_row=params.surplus == "dropped")
    metrics: dict[str, Any] = {}
    if labelled:
        metrics = {
            **main_scores(confusion, result),
            "per_class": by_name(names, result.iou),
            "per_class_accuracy": by_name(names, result.class_accuracy),
            "convention": {
                **params.model_dump(include={"matching", "absent", "surplus"}),
                **params.model_dump(include={"background", "protocol"}, exclude_defaults=True),
            },
            "conventions": {name: convention_scores(whole, **settings) for name, settings in CONVENTIONS.items()},
        }
    rows = [(name, value) for name, value in zip(names, result.iou.tolist(), strict=True) if not math.isnan(value)]
    clusters = [f"{k + labels.first}: {names[c] if c >= 0 else '-'}" for k, c in enumerate(matching.tolist())]
    return SplitScores(metrics, rows, confusion_png(confusion, names, clusters), confusion, matching, TITLES)


def central_labels(labels_HW: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Labels resized to a shorter side of 320, each pixel that of the nearest, then the 320 x 320 in the middle.

    Source: evaluation of STEGO and PriMaPs.
    """
    short, picks = min(labels_HW.shape), []
    for length in labels_HW.shape:
        resized = CROPPED * length // short
        wanted = round((resized - CROPPED) / 2) + np.arange(CROPPED)
        picks.append(((wanted + 0.5) * length / resized).astype(np.int64))
    return labels_HW[np.ix_(*picks)]


def convention_scores(
    confusion: npt.NDArray[np.int64], *, matching: str, absent: str, surplus: str
) -> dict[str, float | None]:
    """mIoU and accuracy under one published convention."""
    result = scores(confusion, match(confusion, matching=matching, surplus=surplus), absent=absent)
    return main_scores(confusion, result)


def main_scores(confusion: npt.NDArray[np.int64], found: Scores) -> dict[str, float | None]:
    """mIoU and accuracy; None where no pixel is scored."""
    return {"miou": found.miou, "accuracy": found.accuracy} if confusion.any() else {"miou": None, "accuracy": None}


def by_name(names: Sequence[str], values: npt.NDArray[np.float64]) -> dict[str, float | None]:
    """Class name -> value, null where there is nothing to score."""
    return {name: None if math.isnan(value) else float(value) for name, value in zip(names, values, strict=True)}
