"""Optimal-transport clustering: balanced assignment by Sinkhorn iterations in the log domain."""

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pipeline.params import Params
from stages.cluster.model import F32, F64, Clustering, unit_rows

CHUNK = 16_384  # rows in float64 at a time


class Options(Params):
    """Options of method `ot`."""

    epsilon: float = Field(0.02, gt=0, description="entropy of the transport plan")
    sinkhorn_iterations: int = Field(10, ge=1)
    iterations: int = Field(20, ge=1, description="updates of the centres; the report says 200, its code 20")


def sinkhorn_plan(scores_KN: npt.NDArray[np.floating], *, epsilon: float = 0.02, iterations: int = 10) -> F64:
    """Entropic transport plan between K equal clusters and N equal rows, scaled so that every cluster's row sums to 1.

    Alternates v = -log N - LSE_K(Z + u) and u = -log K - LSE_N(Z + v) with Z = scores / epsilon, u last; equal to the
    multiplicative iteration and never overflowing.

    Args:
        scores_KN: similarities (cluster, row); the cost is 1 - score.

    Returns:
        float64 (K, N), rows sum to 1, columns tend to K / N.

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


def transport_step(
    rows_NC: npt.NDArray[np.floating],
    centers_KC: npt.NDArray[np.floating],
    *,
    epsilon: float = 0.02,
    iterations: int = 10,
) -> tuple[F32, float]:
    """One update: plan from cosine scores, then every centre is the plan's mean of rows. Returns centres and mean cost."""
    unit = unit_rows(np.asarray(rows_NC, np.float32))
    return updated(rows_NC, unit, centers_KC, epsilon=epsilon, iterations=iterations)


def updated(
    rows_NC: npt.NDArray[np.floating],
    unit_NC: F32,
    centers_KC: npt.NDArray[np.floating],
    *,
    epsilon: float,
    iterations: int,
) -> tuple[F32, float]:
    """The same with the rows at unit length at hand; the means are summed in float64, CHUNK rows at a time."""
    scores = unit_rows(np.asarray(centers_KC, np.float32)) @ unit_NC.T
    plan = sinkhorn_plan(scores, epsilon=epsilon, iterations=iterations)
    centers = np.zeros((len(plan), rows_NC.shape[1]))
    for start in range(0, len(rows_NC), CHUNK):
        part = slice(start, start + CHUNK)
        centers += plan[:, part] @ np.asarray(rows_NC[part], np.float64)
    return centers.astype(np.float32), float((plan * (1 - scores)).sum() / len(centers))


def fit(rows_NC: F32, weights_N: F64, *, k: int, seed: int, options: Options, device: str = "cpu") -> Clustering:
    """Cluster rows, float32 (N, C), into at most k clusters; starts from k distinct rows. Weights and device are not used."""
    distinct = np.unique(rows_NC, axis=0, return_index=True)[1]
    rng = np.random.default_rng(seed)
    chosen = rng.choice(np.sort(distinct), size=min(k, len(distinct)), replace=False)
    centers = rows_NC[chosen]
    unit, history = unit_rows(rows_NC), []
    for _ in range(options.iterations):
        centers, cost = updated(rows_NC, unit, centers, epsilon=options.epsilon, iterations=options.sinkhorn_iterations)
        history.append(cost)
    return Clustering(centers, np.array(history))


def predict(clustering: Clustering, rows_NC: F32, options: Options) -> npt.NDArray[np.int64]:
    """The centre with the largest cosine (not the plan), so sizes need not be balanced."""
    return (unit_rows(rows_NC) @ unit_rows(clustering.centers).T).argmax(axis=1).astype(np.int64)
