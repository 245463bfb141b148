"""The similarity of two partitions of an image, independent of their label numbers.

Letters: R segments, T true regions. Every score is computed from the table (R, T) of common pixels.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
Labels = npt.NDArray[np.integer]
DIRECT = 1 << 20  # labels up to this number are renumbered by a table, larger ones by sorting


def shared_pixels(segments: Labels, truth: Labels) -> I64:
    """The number of common pixels of every segment and every true region: int64 (R, T).

    A pixel with a negative label in either map is left out.

    Raises:
        ValueError: the maps have different shapes.
    """
    if segments.shape != truth.shape:
        raise ValueError(f"partitions: segments {segments.shape} and truth {truth.shape} differ in shape")
    counted = (segments >= 0) & (truth >= 0)
    row, rows = dense(segments[counted])
    column, columns = dense(truth[counted])
    table = np.bincount(row * columns + column, minlength=rows * columns)
    return table.reshape(rows, columns).astype(np.int64)


def dense(labels: Labels) -> tuple[I64, int]:
    """Renumber labels, none of them negative, to 0, 1, ... in ascending order. Returns them and their number."""
    largest = int(labels.max(initial=-1))
    if largest > DIRECT:
        values, places = np.unique(labels, return_inverse=True)
        return places.reshape(-1).astype(np.int64), len(values)
    present = np.bincount(labels, minlength=largest + 1) > 0
    return (present.cumsum() - 1)[labels], int(present.sum())


def covering(table_RT: I64) -> float:
    """The mean over pixels of the best IoU of their true region with a segment, in [0, 1]; 1 without pixels.

    Source: Arbelaez et al., Contour Detection and Hierarchical Image Segmentation (PAMI 2011), equation 10.
    """
    segments, regions = table_RT.sum(axis=1, keepdims=True), table_RT.sum(axis=0)
    if not regions.sum():
        return 1.0
    best = (table_RT / (segments + regions - table_RT)).max(axis=0)
    return float((regions * best).sum() / regions.sum())


def rand_index(table_RT: I64) -> float:
    """The Rand index in [0, 1]; 1 for fewer than two pixels.

    It is the share of pixel pairs that are in one region in both partitions, or in different regions in both
    partitions. The probabilistic Rand index is the mean of the Rand index over several annotators.
    """
    pixels = int(table_RT.sum())
    if pixels < 2:
        return 1.0
    disagreements = pairs(table_RT.sum(axis=1)) + pairs(table_RT.sum(axis=0)) - 2 * pairs(table_RT)
    return 1.0 - disagreements / (pixels * (pixels - 1) / 2)


def pairs(sizes: I64) -> float:
    """The number of pairs within groups of these sizes."""
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
    """Covering, probabilistic Rand index and variation of information: means over the partitions of several annotators.

    Raises:
        ValueError: there is no true partition, or one has another shape.
    """
    if not truths:
        raise ValueError("partitions: no ground truth to compare with")
    tables = [shared_pixels(segments, truth) for truth in truths]
    named = {"covering": covering, "pri": rand_index, "voi": variation_of_information}
    return {name: float(np.mean([score(table) for table in tables])) for name, score in named.items()}
