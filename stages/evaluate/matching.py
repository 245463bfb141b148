"""Confusion matrices, and the matching of clusters to classes. Letters: K clusters (rows), N classes (columns)."""

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
PIXELS = 1 << 22  # pixels that are counted at a time


def confusion_matrix(
    predictions: npt.NDArray[np.integer], targets: npt.NDArray[np.integer], *, num_clusters: int, num_classes: int
) -> I64:
    """Count pixels by cluster and class. Pixels whose class is outside [0, num_classes) are ignored.

    Args:
        predictions: cluster of each pixel, any shape.
        targets: class of each pixel, the same shape.
        num_clusters, num_classes: K and N.

    Returns:
        int64 (cluster, class). The matrices of several images can be added up.

    Raises:
        ValueError: shapes differ, or a prediction on a counted pixel is outside [0, num_clusters).
    """
    if predictions.shape != targets.shape:
        raise ValueError(f"confusion: predictions {predictions.shape} and targets {targets.shape} differ in shape")
    counts = np.zeros(num_clusters * num_classes, np.int64)
    for start in range(0, predictions.size, PIXELS):
        piece = slice(start, start + PIXELS)
        rows, columns = predictions.reshape(-1)[piece], targets.reshape(-1)[piece]
        valid = (columns >= 0) & (columns < num_classes)
        rows, columns = rows[valid].astype(np.int64), columns[valid].astype(np.int64)
        if rows.size and (rows.min() < 0 or rows.max() >= num_clusters):
            raise ValueError(
                f"confusion: found prediction {rows.min()} or {rows.max()}; 0 to {num_clusters - 1} is allowed"
            )
        counts += np.bincount(rows * num_classes + columns, minlength=len(counts))
    return counts.reshape(num_clusters, num_classes)


def iou_matrix(confusion_KN: I64) -> F64:
    """The IoU of every cluster with every class: float64 (K, N), 0 where both are empty."""
    union = confusion_KN.sum(axis=1, keepdims=True) + confusion_KN.sum(axis=0, keepdims=True) - confusion_KN
    return confusion_KN / np.maximum(union, 1)


def hungarian(confusion_KN: I64, *, by: str = "count") -> I64:
    """The one-to-one matching with the largest sum of pixel counts (STEGO, PriMaPs) or of IoUs (DSM).

    Among matchings with equal sums of counts the one with the largest sum of IoUs is taken. The mean IoU therefore
    does not depend on the order of the clusters.

    Returns:
        the class of each cluster, int64 (K,), -1 for no class.
    """
    from scipy.optimize import linear_sum_assignment

    if by not in ("count", "iou"):
        raise ValueError(f"matching: found {by!r}; count or iou is allowed")
    gains = iou_matrix(confusion_KN)
    if by == "count":
        gains += confusion_KN * (confusion_KN.shape[1] + 1.0)
    matching = np.full(len(confusion_KN), -1, np.int64)
    rows, columns = linear_sum_assignment(gains, maximize=True)
    matching[rows] = columns
    return matching


def majority(confusion_KN: I64, *, by: str = "iou") -> I64:
    """The best class of each cluster, int64 (K,).

    Several clusters may have the same class (MaskContrast and DSM: by IoU).
    """
    return (iou_matrix(confusion_KN) if by == "iou" else confusion_KN).argmax(axis=1).astype(np.int64)


def many_to_one(confusion_KN: I64, *, by: str = "count") -> I64:
    """The one-to-one matching; each unmatched cluster then takes the class with the most common pixels (PriMaPs)."""
    matching = hungarian(confusion_KN, by=by)
    unmatched = matching < 0
    matching[unmatched] = confusion_KN[unmatched].argmax(axis=1)
    return matching


def drop_surplus(confusion_KN: I64) -> I64:
    """Set the rows of the clusters from N on to 0.

    STEGO leaves out their pixels, also where it has extra clusters on purpose.
    """
    clusters, classes = confusion_KN.shape
    return np.where(np.arange(clusters)[:, None] < classes, confusion_KN, 0)


def matched_confusion(confusion_KN: I64, matching_K: npt.NDArray[np.integer]) -> I64:
    """Add up the rows of the clusters of each class: int64 (N predicted, N true).

    The rows of unmatched clusters are left out.
    """
    classes = confusion_KN.shape[1]
    return (np.arange(classes)[:, None] == matching_K).astype(np.int64) @ confusion_KN


def match(confusion_KN: I64, *, matching: str = "count", surplus: str = "strict") -> I64:
    """The matching of clusters to classes under a convention: int64 (K,), -1 for no class.

    Args:
        confusion_KN: int64 (cluster, class).
        matching: `count` or `iou`, what the matching maximises.
        surplus: `strict` (one-to-one), `many_to_one`, `majority`, or `dropped` (one-to-one, without the clusters from
            N on).

    Raises:
        ValueError: an unknown value of `matching` or `surplus`.
    """
    if surplus == "dropped":
        return hungarian(drop_surplus(confusion_KN), by=matching)
    if surplus == "strict":
        return hungarian(confusion_KN, by=matching)
    if surplus == "many_to_one":
        return many_to_one(confusion_KN, by=matching)
    if surplus == "majority":
        return majority(confusion_KN, by=matching)
    raise ValueError(f"surplus: found {surplus!r}; strict, many_to_one, majority or dropped is allowed")
