"""How alike two partitions of an image are, whatever their labels mean.

Every score comes from one table of R x T shared pixels.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
Labels = npt.NDArray[np.integer]
DIRECT = 1 << 20  # labels up to here are renumbered by a table, larger ones by sorting


def shared_pixels(segments: Labels, truth: Labels) -> I64:
    """Pixels of every pair of a segment and a true region, int64 (R, T); those with a negative label on either side are left out.

    Raises:
        ValueError: the maps differ in shape.
    """
    if segments.shape != truth.shape:
        raise ValueError(f"partitions: segments {segments.shape} and truth {truth.shape} differ in shape")
    counted = (segments >= 0) & (truth >= 0)
    row, rows = dense(segments[counted])
    column, columns = dense(truth[counted])
    table = np.bincount(row * columns + column, minlength=rows * columns)
    return table.reshape(rows, columns).astype(np.int64)


def dense(labels: Labels) -> tuple[I64, int]:
    """Labels, none negative, renumbered from 0 without gaps and in order, and how many there are."""
    largest = int(labels.max(initial=-1))
    if largest > DIRECT:
        values, places = np.unique(labels, return_inverse=True)
        return places.reshape(-1).astype(np.int64), len(values)
    present = np.bincount(labels, minlength=largest + 1) > 0
    return (present.cumsum() - 1)[labels], int(present.sum())


def covering(table_RT: I64) -> float:
    """Mean over pixels of the IoU of their true region with the segment that fits it best, in [0, 1]; 1 without pixels.

    Source: Arbelaez et al., Contour Detection and Hierarchical Image Segmentation (PAMI 2011), equation 10.
    """
    segments, regions = table_RT.sum(axis=1, keepdims=True), table_RT.sum(axis=0)
    if not regions.sum():
        return 1.0
    best = (table_RT / (segments + regions - table_RT)).max(axis=0)
    return float((regions * best).sum() / regions.sum())


def rand_index(table_RT: I64) -> float:
    """Share of pairs of pixels that both partitions join or both keep apart, in [0, 1]; 1 where there is no pair.

    The probabilistic Rand index is its mean over the segmentations of several people.
    """
    pixels = int(table_RT.sum())
    if pixels < 2:
        return 1.0
    apart = pairs(table_RT.sum(axis=1)) + pairs(table_RT.sum(axis=0)) - 2 * pairs(table_RT)
    return 1.0 - apart / (pixels * (pixels - 1) / 2)


def pairs(sizes: I64) -> float:
    """Pairs within groups of these sizes."""
    exact = sizes.astype(np.float64)
    return float((exact * (exact - 1) / 2).sum())


def variation_of_information(table_RT: I64) -> float:
    """H(segments | truth) + H(truth | segments) in bits, 0 for equal partitions.

    Source: Meila, Comparing Clusterings (2007); bits as in the benchmark of BSDS500.
    """
    joint = 2 * entropy(table_RT)
    return max(0.0, joint - entropy(table_RT.sum(axis=0)) - entropy(table_RT.sum(axis=1)))


def entropy(sizes: I64) -> float:
    """The entropy of groups of these sizes, in bits."""
    share = sizes[sizes > 0] / max(1, int(sizes.sum()))
    return float(-(share * np.log2(share)).sum())


def partition_scores(segments: Labels, truths: Sequence[Labels]) -> dict[str, float]:
    """Covering, probabilistic Rand index and variation of information: means over the segmentations of several people.

    Raises:
        ValueError: no truth, or of another shape.
    """
    if not truths:
        raise ValueError("partitions: no ground truth to compare with")
    tables = [shared_pixels(segments, truth) for truth in truths]
    named = {"covering": covering, "pri": rand_index, "voi": variation_of_information}
    return {name: float(np.mean([score(table) for table in tables])) for name, score in named.items()}
