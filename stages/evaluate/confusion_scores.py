"""Scores of a matched confusion matrix. Letters: K clusters (rows), N classes (columns)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usseg.stages.evaluate.matching import I64, matched_confusion

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ConfusionScores:
    """Scores in [0, 1]. NaN in `iou` and `class_accuracy` marks a class with nothing to score."""

    miou: float
    accuracy: float
    iou: F64  # (N,)
    class_accuracy: F64  # (N,)


def confusion_scores(
    confusion_KN: I64, matching_K: I64, *, absent: str = "drop", extra_row: bool = False
) -> ConfusionScores:
    """Score a confusion matrix under a matching.

    Pixels of unmatched clusters count as errors: they stay in the denominators of their true class and of the
    accuracy. A matrix without pixels has nothing to score. Its mean IoU and accuracy are 0 and carry no information.

    Args:
        confusion_KN: int64 (cluster, class).
        matching_K: class of each cluster, -1 for no class.
        absent: `drop`: a class with neither true nor predicted pixels is left out of the mean IoU (STEGO); `zero`: its
            IoU is 0 (DSM, MaskContrast).
        extra_row: if an unmatched cluster has pixels, the mean IoU includes one more class of IoU 0 (STEGO with extra
            clusters, on `drop_surplus(confusion)`).

    Raises:
        ValueError: an unknown value of `absent`.
    """
    if absent not in ("drop", "zero"):
        raise ValueError(f"absent: found {absent!r}; drop or zero is allowed")
    matched = matched_confusion(confusion_KN, matching_K)
    truth, predicted, hits = confusion_KN.sum(axis=0), matched.sum(axis=1), np.diag(matched)
    union = truth + predicted - hits
    with np.errstate(invalid="ignore", divide="ignore"):
        iou = np.where(union > 0, hits / union, np.nan)
        class_accuracy = np.where(truth > 0, hits / truth, np.nan)
    mean_over = np.nan_to_num(iou) if absent == "zero" else iou[~np.isnan(iou)]
    if extra_row and confusion_KN[matching_K < 0].sum() > 0:
        mean_over = np.append(mean_over, 0.0)
    total = confusion_KN.sum()
    return ConfusionScores(
        float(mean_over.mean()) if len(mean_over) else 0.0,
        float(hits.sum() / total) if total else 0.0,
        iou,
        class_accuracy,
    )
