"""Optimal-transport clustering: balanced assignment by Sinkhorn iterations in the log domain.

Letters: N rows, B rows of a block, C channels, K clusters. The matrix Z holds the scores divided by epsilon; u (K,)
and v (N,) are the dual variables of the transport plan exp(Z + u + v).
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.checkpoint import NO_CHECKPOINT, Checkpoint
from usseg.pipeline.execution import Progress, no_progress
from usseg.pipeline.params import Params
from usseg.stages.cluster.method import F32, F64, Clustering, ClusterMethod
from usseg.stages.cluster.rows import Rows, first_distinct, in_blocks
from usseg.stages.cluster.scaling import unit_rows


class Options(Params):
    """Options of method `ot`."""

    epsilon: float = Field(0.02, gt=0, le=1000, description="weight of the entropy of the transport plan")
    sinkhorn_iterations: int = Field(10, ge=1, le=100_000, description="Sinkhorn iterations for each transport plan")
    iterations: int = Field(
        20, ge=1, le=100_000, description="updates of the centres; the report says 200, its code 20"
    )


def sinkhorn_plan(scores_KN: npt.NDArray[np.floating], *, epsilon: float = 0.02, iterations: int = 10) -> F64:
    """The entropic transport plan between K clusters of equal mass and N rows of equal mass.

    Every cluster's row sums to 1. The iteration alternates v = -log N - LSE_K(Z + u) and u = -log K - LSE_N(Z + v),
    with Z = scores / epsilon and the log-sum-exp LSE. The update of u is the last one. The result equals that of the
    multiplicative iteration, without overflow.

    Args:
        scores_KN: similarities (cluster, row); the transport cost is 1 - similarity.
        epsilon: weight of the entropy.
        iterations: number of updates of v and u.

    Returns:
        float64 (K, N). Each row of the plan sums to 1, each column sums to about K / N. `transport_step` never holds
        the whole plan.

    Source: semester report, section 3.2 (OTC); Cuturi, Sinkhorn Distances (2013).
    """
    from scipy.special import logsumexp

    logits = np.asarray(scores_KN, np.float64) / epsilon
    clusters, rows = logits.shape
    u = np.full((clusters, 1), -np.log(clusters))
    v = np.zeros((1, rows))
    for _ in range(iterations):
        v = -np.log(rows) - logsumexp(logits + u, axis=0, keepdims=True)
        u = -np.log(clusters) - logsumexp(logits + v, axis=1, keepdims=True)
    plan: F64 = clusters * np.exp(logits + u + v)
    return plan


def block_plan(scores_BK: F32, u_K: F64, *, epsilon: float) -> tuple[F64, F64]:
    """The columns N exp(Z + u + v) of the transport plan for a block of rows, with a factor for each cluster.

    As in `sinkhorn_plan`, v is chosen so that the column of every row sums to 1.

    Returns:
        Scaled values, float64 (K, B): the largest value of each cluster is 1. The logarithms of the factors, float64
            (K,): the plan is
        the values times exp(logarithm).
    """
    plan = np.array(scores_BK.T, np.float64, order="C")
    plan /= epsilon
    plan += u_K[:, None]
    plan -= plan.max(axis=0)
    plan -= np.log(np.exp(plan).sum(axis=0))
    top = plan.max(axis=1)
    plan -= top[:, None]
    return np.exp(plan, out=plan), top


def summed(parts: Iterable[tuple[F64, F64]]) -> tuple[F64, F64]:
    """Add up scaled values of blocks, (K, M) each, whose factors are given as logarithms (K,).

    Returns a sum in the same form.
    """
    total, top = np.zeros((1, 1)), np.array(-np.inf)
    for values, logs in parts:
        highest = np.maximum(top, logs)
        total = total * np.exp(top - highest)[..., None] + values * np.exp(logs - highest)[:, None]
        top = highest
    return total, top


def transport_step(
    rows: Rows | F32, centers_KC: npt.NDArray[np.floating], *, epsilon: float = 0.02, iterations: int = 10
) -> tuple[F32, float]:
    """One update of the centres.

    The scores of the plan are cosines, and each new centre is the plan's weighted mean of the rows. The result is that
    of `sinkhorn_plan`, but only one block of the plan is in memory at a time. Only u is stored, because v follows from
    u for each row. Where u has converged, the sum of exp(Z + u + v) over the rows is 1 / K. Each iteration therefore
    subtracts from u the logarithm of K times that sum.

    Returns:
        the new centres, float32 (K, C), not normalised, and the mean transport cost, where the cost is 1 - cosine.
    """
    rows, clusters = in_blocks(rows), len(centers_KC)
    unit = unit_rows(np.asarray(centers_KC, np.float32))
    scores = rows.store(
        lambda block: block @ unit.T / np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-12), clusters
    )

    def masses(block: F32, part: slice) -> tuple[F64, F64]:
        plan, logs = block_plan(block, u, epsilon=epsilon)
        return plan.sum(axis=1, keepdims=True), logs

    def means(block: F32, part: slice) -> tuple[F64, F64]:
        similar = scores.read(part)
        plan, logs = block_plan(similar, u, epsilon=epsilon)
        sums = (plan.sum(axis=1), np.einsum("kb,bk->k", plan, similar), plan.astype(np.float32) @ block)
        return np.column_stack(sums).astype(np.float64), logs

    u = np.full(clusters, -np.log(clusters))
    for _ in range(iterations - 1):
        total, logs = summed(scores.map(masses))
        u -= np.log(total[:, 0]) + logs - np.log(len(rows) / clusters)
    total, _ = summed(rows.map(means))
    centers = total[:, 2:] / total[:, :1]
    return centers.astype(np.float32), float(np.mean(1 - total[:, 1] / total[:, 0]))


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
    """Cluster rows, float32 (N, C), into at most k clusters. The initial centres are k distinct rows.

    Areas, device, checkpoint and progress are not used.
    """
    rows = in_blocks(rows)
    centers = first_distinct(rows, k)
    if len(centers) == k:
        chosen = np.random.default_rng(seed).choice(len(rows), size=k, replace=False)
        centers = first_distinct([rows.take(chosen), centers], k)
    history = []
    for _ in range(options.iterations):
        centers, cost = transport_step(rows, centers, epsilon=options.epsilon, iterations=options.sinkhorn_iterations)
        history.append(cost)
    return Clustering(centers, np.array(history))


def scores(clustering: Clustering, rows_NC: F32, options: Options) -> F32:
    """The cosine of each row and centre: float32 (N, K)."""
    cosines: F32 = unit_rows(rows_NC) @ unit_rows(clustering.centers).T
    return cosines


def predict(clustering: Clustering, rows_NC: F32, options: Options) -> npt.NDArray[np.int64]:
    """The cluster with the largest cosine for each row: int64 (N,).

    The plan is not used, so that cluster sizes may differ.
    """
    return scores(clustering, rows_NC, options).argmax(axis=1).astype(np.int64)


def points(clustering: Clustering, rows_NC: F32, options: Options) -> tuple[F32, F32]:
    """The rows and the centres, scaled to unit length."""
    return unit_rows(rows_NC), unit_rows(clustering.centers)


METHOD = ClusterMethod(
    summary="Optimal transport: clusters of equal size in the fit; a row then takes the nearest centre by cosine.",
    call=fit,
    options=Options,
    predict=predict,
    scores=scores,
    points=points,
    source="semester report on DSM, section 3.2 (OTC); Cuturi, Sinkhorn Distances (2013)",
)
