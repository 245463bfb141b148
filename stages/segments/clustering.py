"""k-means on the tokens of one image."""

import numpy as np
import numpy.typing as npt


def eigengap_segments(eigenvalues_K: npt.NDArray[np.floating]) -> int:
    """Position of the largest eigenvalue gap, the first gap left out, plus one; at least 2 (DSM)."""
    gaps = np.diff(eigenvalues_K)[1:]
    return int(gaps.argmax()) + 2 if len(gaps) else 2


def kmeans_labels(points_NC: npt.NDArray[np.floating], *, k: int, seed: int, n_init: int = 10) -> npt.NDArray[np.int64]:
    """Seeded k-means++ labels, (N,), 0 to at most k - 1; fewer where there are fewer distinct points."""
    points = np.ascontiguousarray(points_NC, np.float64)
    distinct, inverse = np.unique(points, axis=0, return_inverse=True)
    if len(distinct) <= k:
        return inverse.reshape(-1).astype(np.int64)
    from sklearn.cluster import KMeans

    labels: npt.NDArray[np.int64] = KMeans(k, n_init=n_init, random_state=seed).fit(points).labels_.astype(np.int64)
    return labels
