"""Optimal-transport clustering: balanced assignment by Sinkhorn iterations in the log domain. N rows, C channels, K clusters."""

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

    epsilon: float = Field(0.02, gt=0, le=1000, description="entropy of the transport plan")
    sinkhorn_iterations: int = Field(10, ge=1, le=100_000, description="of each transport plan")
    iterations: int = Field(
        20, ge=1, le=100_000, description="updates of the centres; the report says 200, its code 20"
    )


def sinkhorn_plan(scores_KN: npt.NDArray[np.floating], *, epsilon: float = 0.02, iterations: int = 10) -> F64:
    """Entropic transport plan between K equal clusters and N equal rows, scaled so that every cluster's row sums to 1.

    Alternates v = -log N - LSE_K(Z + u) and u = -log K - LSE_N(Z + v) with Z = scores / epsilon, u last; equal to the
    multiplicative iteration and never overflowing.

    Args:
        scores_KN: similarities (cluster, row); the cost is 1 - score.

    Returns:
        float64 (K, N), rows sum to 1, columns tend to K / N. `transport_step` gets its centres without ever holding it.

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
    """N exp(Z + u + v) of a block of rows: numbers (K, B) of which each cluster's largest is 1, and the logarithms (K,) of what they lack.

    v is that of `sinkhorn_plan`, so that every row's column sums to 1.
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
    """The sum over blocks of values (K, M) that lack a factor each, given as logarithms (K,); in the same form."""
    total, top = np.zeros((1, 1)), np.array(-np.inf)
    for values, logs in parts:
        highest = np.maximum(top, logs)
        total = total * np.exp(top - highest)[..., None] + values * np.exp(logs - highest)[:, None]
        top = highest
    return total, top


def transport_step(
    rows: Rows | F32, centers_KC: npt.NDArray[np.floating], *, epsilon: float = 0.02, iterations: int = 10
) -> tuple[F32, float]:
    """One update: plan from cosine scores, then every centre is the plan's mean of rows. Returns centres and mean cost.

    What `sinkhorn_plan` says, with a block of the plan at a time: u alone is kept, since v follows from it row by row. As the sum over the
    rows of exp(Z + u + v) is 1 / K where u has converged, u falls by the logarithm of K times that sum.
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
    """Cluster rows, float32 (N, C), into at most k clusters; starts from k distinct rows.

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
    """The cosine of each row and centre."""
    cosines: F32 = unit_rows(rows_NC) @ unit_rows(clustering.centers).T
    return cosines


def predict(clustering: Clustering, rows_NC: F32, options: Options) -> npt.NDArray[np.int64]:
    """The centre with the largest cosine (not the plan), so sizes need not be balanced."""
    return scores(clustering, rows_NC, options).argmax(axis=1).astype(np.int64)


METHOD = ClusterMethod(
    summary="Optimal transport: clusters of equal size by Sinkhorn iterations, then the centre with the largest cosine.",
    call=fit,
    options=Options,
    predict=predict,
    scores=scores,
    source="semester report on DSM, section 3.2 (OTC); Cuturi, Sinkhorn Distances (2013)",
)
