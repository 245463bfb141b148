"""How clearly a row belongs to its cluster: the margin between its two nearest centres.

Letters: N rows, B rows of a block, C channels, K clusters.
"""

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
NUMBERS = 1 << 21  # numbers of float64 that a block of rows has at most, in each of its arrays


def margins(points_NC: F32, centers_KC: F32) -> npt.NDArray[np.float16]:
    """The margin (d2 - d1) / d2 of each point, float16 (N,) in [0, 1].

    d1 and d2 are the Euclidean distances to the nearest and to the second nearest centre. 0: the point is as near to
    the one as to the other, also where both distances are 0. 1: the point lies on its centre, and no other centre does;
    or there is one centre only. The margin of a point does not depend on the others.

    Args:
        points_NC: float32 (N, C), as `ClusterMethod.points` returns them; N may be 0. They are finite.
        centers_KC: float32 (K, C), K at least 1.

    Source: the simplified silhouette (b - a) / max(a, b), of the distances to centres; Vendramin, Campello and
    Hruschka, Relative clustering validity criteria (2010).
    """
    count, (clusters, channels) = len(points_NC), centers_KC.shape
    if clusters == 1:
        return np.ones(count, np.float16)
    middle = centers_KC.mean(axis=0, dtype=np.float64)
    centers = centers_KC.astype(np.float64) - middle
    half_lengths = 0.5 * (centers**2).sum(axis=1)
    size = max(1, NUMBERS // max(clusters, 2 * channels))
    found = np.empty(count, np.float16)
    for start in range(0, count, size):
        points = points_NC[start : start + size].astype(np.float64) - middle
        # The product chooses the two centres. Their distances come from differences, which cancel no digits.
        closeness = points @ centers.T - half_lengths
        two = np.argpartition(-closeness, 1, axis=1)[:, :2]
        distances = np.sqrt(((points[:, None] - centers[two]) ** 2).sum(axis=2))
        found[start : start + size] = margin(distances.min(axis=1), distances.max(axis=1))
    return found


def margin(nearer_B: F64, farther_B: F64) -> F64:
    """The margins (farther - nearer) / farther of pairs of distances; 0 where both are 0."""
    return np.divide(farther_B - nearer_B, farther_B, out=np.zeros_like(farther_B), where=farther_B > 0)
