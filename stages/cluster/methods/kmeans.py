"""k-means by faiss, squared Euclidean or cosine, on the GPU where there is one."""

import math
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pipeline.params import Params
from stages.cluster.model import F32, F64, Clustering, unit_rows

NO_SUBSAMPLING = 2**31 - 1


class Options(Params):
    """Options of method `kmeans`."""

    metric: Literal["l2", "cosine"] = Field("l2", description="cosine: rows and centres at unit length")
    n_init: int = Field(5, ge=1, description="k-means++ starts; the one with the lowest objective is kept")
    iterations: int = Field(100, ge=1)


def gpus(device: str) -> int:
    """How many GPUs faiss may use: all that it has where `device` is one, else none."""
    import faiss

    return int(faiss.get_num_gpus()) if device != "cpu" and hasattr(faiss, "get_num_gpus") else 0


def scaled(rows_NC: F32, options: Options) -> F32:
    """Rows as the metric wants them."""
    return np.ascontiguousarray(unit_rows(rows_NC) if options.metric == "cosine" else rows_NC, np.float32)


def nearest(rows_NC: F32, centers_KC: F32) -> tuple[npt.NDArray[np.int64], F32]:
    """Nearest centre of each row and the squared distance."""
    import faiss

    distances, labels = faiss.knn(rows_NC, np.ascontiguousarray(centers_KC, np.float32), 1)
    return labels[:, 0].astype(np.int64), distances[:, 0]


def distinct_rows(rows_NC: F32, limit: int) -> F32 | None:
    """The distinct rows in order of appearance, or None where there are more than `limit`."""
    found: dict[bytes, F32] = {}
    for row in rows_NC + 0.0:  # one zero, not two
        found.setdefault(row.tobytes(), row)
        if len(found) > limit:
            return None
    return np.stack(list(found.values()))


def fit(rows_NC: F32, weights_N: F64, *, k: int, seed: int, options: Options, device: str = "cpu") -> Clustering:
    """Cluster rows, float32 (N, C), with positive weights (N,) into at most k clusters.

    With fewer distinct rows than k, there are as many clusters as distinct rows.

    Source: semester report, section 3.2.
    """
    import faiss

    rows = scaled(rows_NC, options)
    few = distinct_rows(rows, k)
    if few is not None:
        return Clustering(few, np.zeros(1))
    weights = weights_N.astype(np.float32)
    lowest, best = math.inf, Clustering(rows[:0], np.zeros(0))
    for start in range(options.n_init):
        kmeans = faiss.Kmeans(
            rows.shape[1],
            k,
            niter=options.iterations,
            seed=seed + start,
            spherical=options.metric == "cosine",
            init_method=faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS,
            min_points_per_centroid=1,
            max_points_per_centroid=NO_SUBSAMPLING,
            gpu=gpus(device),
        )
        kmeans.train(rows, weights=weights)
        centers = np.array(kmeans.centroids, np.float32)
        objective = float(weights_N @ nearest(rows, centers)[1])
        if objective < lowest:
            lowest, best = objective, Clustering(centers, np.asarray(kmeans.obj, np.float64) / len(rows))
    return best


def predict(clustering: Clustering, rows_NC: F32, options: Options) -> npt.NDArray[np.int64]:
    """The nearest centre of each row."""
    return nearest(scaled(rows_NC, options), clustering.centers)[0]
