"""k-means, squared Euclidean or cosine."""

from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pipeline.params import Params
from stages.cluster.model import F32, F64, Clustering, unit_rows

CHUNK = 65_536


class Options(Params):
    """Options of method `kmeans`."""

    metric: Literal["l2", "cosine"] = Field("l2", description="cosine: rows and centres at unit length")
    n_init: int = Field(5, ge=1, description="starts; the one with the lowest objective is kept")
    iterations: int = Field(200, ge=1, description="at most; stops where no label changes")


def nearest(rows_NC: F32, centers_KC: F32) -> tuple[npt.NDArray[np.int64], F64]:
    """Nearest centre of each row (the first of equals) and the squared distance."""
    labels = np.empty(len(rows_NC), np.int64)
    distances = np.empty(len(rows_NC), np.float64)
    squared = (centers_KC.astype(np.float64) ** 2).sum(axis=1)
    for start in range(0, len(rows_NC), CHUNK):
        part = rows_NC[start : start + CHUNK]
        table = squared - 2.0 * (part @ centers_KC.T)
        labels[start : start + CHUNK] = table.argmin(axis=1)
        own = (part.astype(np.float64) ** 2).sum(axis=1)
        distances[start : start + CHUNK] = np.maximum(table.min(axis=1) + own, 0)
    return labels, distances


def plus_plus(rows_NC: F32, weights_N: F64, k: int, rng: np.random.Generator) -> F32:
    """k-means++ start, rows drawn by weight times squared distance."""
    chosen = [int(rng.choice(len(rows_NC), p=weights_N / weights_N.sum()))]
    closest = nearest(rows_NC, rows_NC[chosen[-1:]])[1]
    for _ in range(1, k):
        mass = weights_N * closest
        share = mass / mass.sum() if mass.sum() > 0 else weights_N / weights_N.sum()
        chosen.append(int(rng.choice(len(rows_NC), p=share)))
        closest = np.minimum(closest, nearest(rows_NC, rows_NC[chosen[-1:]])[1])
    return rows_NC[chosen].copy()


def means(rows_NC: F32, weights_N: F64, labels_N: npt.NDArray[np.int64], k: int) -> tuple[F64, F64]:
    """Weighted sums (K, C) and total weights (K,) of the clusters."""
    from scipy.sparse import csr_array

    onehot = csr_array((weights_N, (labels_N, np.arange(len(rows_NC)))), shape=(k, len(rows_NC)))
    return np.asarray(onehot @ rows_NC.astype(np.float64)), np.bincount(labels_N, weights_N, minlength=k).astype(
        np.float64
    )


def lloyd(rows_NC: F32, weights_N: F64, centers_KC: F32, *, iterations: int, cosine: bool) -> tuple[F32, list[float]]:
    """Lloyd's iterations; an empty cluster moves to the farthest row of the heaviest one."""
    k = len(centers_KC)
    history: list[float] = []
    before: npt.NDArray[np.int64] | None = None
    for _ in range(iterations):
        labels, distances = nearest(rows_NC, centers_KC)
        history.append(float(weights_N @ distances / weights_N.sum()))
        if before is not None and np.array_equal(labels, before):
            break
        before = labels
        sums, totals = means(rows_NC, weights_N, labels, k)
        centers = np.divide(sums, totals[:, None], out=centers_KC.astype(np.float64), where=totals[:, None] > 0)
        for empty in np.flatnonzero(totals == 0):
            members = np.flatnonzero(labels == totals.argmax())
            far = members[distances[members].argmax()]
            centers[empty], distances[far] = rows_NC[far], 0.0
        centers_KC = centers.astype(np.float32)
        if cosine:
            centers_KC = unit_rows(centers_KC)
    return centers_KC, history


def fit(rows_NC: F32, weights_N: F64, *, k: int, seed: int, options: Options) -> Clustering:
    """Cluster rows, float32 (N, C), with positive weights (N,) into at most k clusters.

    With fewer distinct rows than k, there are as many clusters as distinct rows.

    Source: semester report, section 3.2; spec of starts and empty clusters: ours.
    """
    rows = unit_rows(rows_NC) if options.metric == "cosine" else rows_NC
    count = min(k, len(np.unique(rows, axis=0)))
    rng = np.random.default_rng(seed)
    best: tuple[F32, list[float]] | None = None
    for _ in range(options.n_init):
        start = plus_plus(rows, weights_N, count, rng)
        found = lloyd(rows, weights_N, start, iterations=options.iterations, cosine=options.metric == "cosine")
        if best is None or found[1][-1] < best[1][-1]:
            best = found
    assert best is not None
    return Clustering(best[0], np.array(best[1]))


def predict(clustering: Clustering, rows_NC: F32, options: Options) -> npt.NDArray[np.int64]:
    """The nearest centre of each row."""
    rows = unit_rows(rows_NC) if options.metric == "cosine" else rows_NC
    return nearest(rows, clustering.centers)[0]
