"""k-means by squared Euclidean distance or by cosine, from several k-means++ starts.

Letters: N rows, C channels, K clusters, S starts, M chosen rows.
"""

import functools
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.checkpoint import NO_CHECKPOINT, Checkpoint
from usseg.pipeline.execution import Progress, no_progress
from usseg.pipeline.params import Params, refused
from usseg.stages.cluster.lloyd import gpu_of, lloyd, nearest
from usseg.stages.cluster.method import F32, F64, Clustering, ClusterMethod
from usseg.stages.cluster.rows import Rows, first_distinct, in_blocks
from usseg.stages.cluster.scaling import unit_rows

I64 = npt.NDArray[np.int64]
# Size of the sample on which the starts converge first: so many rows, or so many for each cluster (as in faiss).
SAMPLE, SAMPLE_PER_CLUSTER = 32_768, 256


class Options(Params):
    """Options of method `kmeans`."""

    metric: Literal["l2", "cosine"] = Field(
        "l2", description="l2: squared Euclidean distance; cosine: l2 between rows and centres of unit length"
    )
    n_init: int = Field(5, ge=1, le=1000, description="k-means++ starts; the result with the lowest objective is kept")
    iterations: int = Field(100, ge=1, le=100_000, description="largest number of Lloyd iterations of a start")
    area_weight: float = Field(
        0.0, ge=0, le=100, description="weight of a segment: its area to this power; 0: equal weights"
    )


def plus_plus(rows_NC: F32, weights_N: F64, *, k: int, rngs: list[np.random.Generator]) -> F32:
    """Greedy k-means++ centres, float32 (S, K, C), one start for each random generator.

    For each centre 2 + log K rows are drawn. The row that lowers the objective most becomes the centre.

    Source: Arthur and Vassilvitskii, k-means++ (2007), sections 2.2 and 7.
    """
    starts, trials = len(rngs), 2 + int(np.log(k))
    weights = weights_N if weights_N.sum() > 0 else np.ones(len(rows_NC))
    norms = np.einsum("nc,nc->n", rows_NC, rows_NC)

    def drawn(probabilities_N: F64, rng: np.random.Generator, count: int) -> I64:
        cumulated = np.cumsum(probabilities_N)
        return np.searchsorted(cumulated, rng.random(count) * cumulated[-1], side="right").clip(0, len(rows_NC) - 1)

    def distances(indices_M: I64) -> F32:
        squared = norms + norms[indices_M, None] - 2 * (rows_NC[indices_M] @ rows_NC.T)
        squared[np.arange(len(indices_M)), indices_M] = 0
        return np.maximum(squared, 0, dtype=np.float32)

    chosen = np.empty((starts, k), np.int64)
    chosen[:, 0] = [drawn(weights, rng, 1)[0] for rng in rngs]
    closest_SN = distances(chosen[:, 0])
    for step in range(1, k):
        tried = np.array([drawn(closest * weights, rng, trials) for closest, rng in zip(closest_SN, rngs, strict=True)])
        candidates = np.minimum(distances(tried.reshape(-1)).reshape(starts, trials, -1), closest_SN[:, None])
        best = (candidates @ weights).argmin(axis=1)
        chosen[:, step] = tried[np.arange(starts), best]
        closest_SN = candidates[np.arange(starts), best]
    return rows_NC[chosen]


def check(options: Options, sections: Mapping[str, Any]) -> None:
    """Refuse `area_weight` where all rows have the same area.

    Raises:
        ParamsError: tokens are clustered, and `area_weight` is not 0.
    """
    if options.area_weight and sections["cluster"].rows == "tokens":
        raise refused(
            "cluster.options.area_weight", options.area_weight, "cluster.rows: tokens are all of one area; set 0.0"
        )


def fit(
    rows: Rows | F32,
    areas_N: F64,
    *,
    k: int,
    seed: int,
    options: Options,
    device: str = "cpu",
    checkpoint: Checkpoint = NO_CHECKPOINT,
    progress: Progress = no_progress,
) -> Clustering:
    """Cluster rows, float32 (N, C), into at most k clusters.

    The weight of a row is its area to the power `area_weight`. If there are fewer than k distinct rows, each distinct
    row becomes a centre. If there are many rows, the starts converge on a random sample first, so that few iterations
    on all rows are left. The checkpoint and the progress are not used.

    Source: semester report, section 3.2.
    """
    rows, spherical = in_blocks(rows), options.metric == "cosine"
    weights = areas_N**options.area_weight
    if spherical:
        rows = rows.store(unit_rows, rows.channels)
    few = first_distinct(rows, k + 1)
    if len(few) <= k:
        return Clustering(few, np.zeros(1))
    *rngs, sampler = (np.random.default_rng([seed, start]) for start in range(options.n_init + 1))
    size = min(len(rows), max(SAMPLE, SAMPLE_PER_CLUSTER * k))
    chosen = np.sort(sampler.choice(len(rows), size, replace=False, shuffle=False))
    sample = rows.take(chosen)
    centers = plus_plus(sample, weights[chosen], k=k, rngs=rngs)
    search = functools.partial(lloyd, iterations=options.iterations, spherical=spherical, gpu=gpu_of(device))
    if size < len(rows):
        few_rows = in_blocks(sample, rows.ordered_map)
        centers = np.stack([clustering.centers for _, clustering in search(few_rows, weights[chosen], centers)])
    return min(search(rows, weights, centers), key=lambda result: result[0])[1]


def predict(clustering: Clustering, rows_NC: F32, options: Options) -> I64:
    """The nearest centre of each row: int64 (N,)."""
    rows = unit_rows(rows_NC) if options.metric == "cosine" else rows_NC
    return nearest(np.asarray(rows, np.float32), clustering.centers)[0]


def scores(clustering: Clustering, rows_NC: F32, options: Options) -> F32:
    """The score x c - |c|^2 / 2 of each row x and centre c: float32 (N, K).

    It is minus half the squared distance, plus a term that is equal for all centres. It is linear in the row. For
    metric cosine it equals the cosine minus 1/2.
    """
    rows = unit_rows(rows_NC) if options.metric == "cosine" else rows_NC
    centers = clustering.centers
    values: F32 = rows @ centers.T - np.float32(0.5) * (centers**2).sum(axis=1)
    return values


def points(clustering: Clustering, rows_NC: F32, options: Options) -> tuple[F32, F32]:
    """The rows and the centres. For metric cosine the rows have unit length; the centres have it from the fit."""
    return unit_rows(rows_NC) if options.metric == "cosine" else rows_NC, clustering.centers


def on_gpu(options: Options) -> bool:
    """Whether faiss has GPU support."""
    return gpu_of("cuda:0") is not None


METHOD = ClusterMethod(
    summary="k-means by squared distance or by cosine: the best result of several k-means++ starts.",
    call=fit,
    options=Options,
    gpu=on_gpu,
    check=check,
    predict=predict,
    scores=scores,
    points=points,
    source="Arthur and Vassilvitskii, k-means++ (2007); semester report on DSM, section 3.2",
)
