"""k-means on the tokens of one image, by a genetic search over a population of solutions.

Letters: R solutions, N points, C channels, K clusters.
"""

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
STEPS = 20  # Lloyd iterations of a solution during the search
LAST_STEPS = 300  # Lloyd iterations of the solution that is returned


def kmeans_labels(
    points_NC: npt.NDArray[np.floating], *, k: int, seed: int, n_init: int = 10, generations: int = 25
) -> I64:
    """The k-means labels of points (N, C): int64 (N,), from 0 to at most k - 1.

    There are fewer labels than k where there are fewer distinct points.

    The result of plain restarts depends on the seed. Here `n_init` k-means++ starts form a population. In each
    generation every solution is crossed with another one, and one centre of the child moves to a random point. The
    child replaces its parent where its objective is lower.

    Source: the crossover of Gribel and Vidal, HG-means (2019); with `generations=0` the method is k-means++ with
    restarts.
    """
    points = np.ascontiguousarray(points_NC, np.float64)
    distinct, inverse = np.unique(points, axis=0, return_inverse=True)
    if len(distinct) <= k:
        return inverse.reshape(-1).astype(np.int64)
    rng = np.random.default_rng(seed)
    points = points - points.mean(axis=0)
    centers, _, gains = lloyd(points, plus_plus(points, k, n_init, rng))
    for _ in range(generations):
        children, _, child_gains = lloyd(points, offspring(points, centers, rng))
        better = child_gains > gains
        centers[better], gains[better] = children[better], child_gains[better]
    return lloyd(points, centers[[gains.argmax()]], steps=LAST_STEPS)[1][0]


def plus_plus(points_NC: F64, k: int, count: int, rng: np.random.Generator) -> F64:
    """Greedy k-means++ starts, (count, k, C).

    Among 2 + log k random points, the one that lowers the objective most becomes a centre.
    """
    n, trials, starts = len(points_NC), 2 + int(np.log(k)), np.arange(count)
    squares = (points_NC**2).sum(axis=1)
    drawn = rng.integers(n, size=(count, 1))
    closest = np.full((count, n), np.inf)
    chosen = []
    for _ in range(k):
        distances = (
            squares + squares[drawn, None] - 2 * (points_NC[drawn.reshape(-1)] @ points_NC.T).reshape(*drawn.shape, n)
        )
        candidates = np.minimum(np.maximum(distances, 0), closest[:, None])
        best = candidates.sum(axis=2).argmin(axis=1)
        chosen.append(drawn[starts, best])
        closest = candidates[starts, best]
        mass = closest.cumsum(axis=1)
        levels = rng.random((count, trials)) * mass[:, -1:]
        drawn = np.stack([np.searchsorted(*row, side="right") for row in zip(mass, levels, strict=True)])
        drawn = np.minimum(drawn, n - 1)
    return points_NC[np.stack(chosen, axis=1)]


def offspring(points_NC: F64, centers_RKC: F64, rng: np.random.Generator) -> F64:
    """A child of each solution and a random other one, (R, K, C).

    The centres of both parents are matched one to one. The child takes one centre of each pair at random. Then one
    centre of the child moves to a random point.
    """
    from scipy.optimize import linear_sum_assignment

    count, k, _ = centers_RKC.shape
    rows = np.arange(count)
    mates = centers_RKC[(rows + rng.integers(1, max(2, count), size=count)) % count]
    distances = ((centers_RKC[:, :, None] - mates[:, None]) ** 2).sum(axis=3)
    partner = np.stack([linear_sum_assignment(table)[1] for table in distances])
    own = rng.random((count, k, 1)) < 0.5
    children = np.where(own, centers_RKC, np.take_along_axis(mates, partner[:, :, None], axis=1))
    children[rows, rng.integers(k, size=count)] = points_NC[rng.integers(len(points_NC), size=count)]
    return children


def lloyd(points_NC: F64, centers_RKC: F64, *, steps: int = STEPS) -> tuple[F64, I64, F64]:
    """Lloyd's iterations until no label changes, or for `steps` iterations. An empty cluster keeps its centre.

    Returns:
        Centres (R, K, C), labels int64 (R, N), and gains (R,): the sum of the squared lengths minus the objective. A
            larger gain is better.
    """
    centers = centers_RKC.copy()
    (count, k, channels), n = centers.shape, len(points_NC)
    extended = np.column_stack([points_NC, np.ones(n)])
    labels, gains = np.full((count, n), -1, np.int64), np.zeros(count)
    moving = np.arange(count)
    for _ in range(steps):
        planes = np.concatenate([-2 * centers[moving], (centers[moving] ** 2).sum(axis=2, keepdims=True)], axis=2)
        nearest = (extended @ planes.reshape(-1, channels + 1).T).reshape(n, -1, k).argmin(axis=2).T
        moved = (nearest != labels[moving]).any(axis=1)
        moving, nearest = moving[moved], nearest[moved]
        if not len(moving):
            break
        labels[moving] = nearest
        cells = (nearest + k * np.arange(len(moving))[:, None]).reshape(-1)
        sizes = np.bincount(cells, minlength=len(moving) * k)[:, None]
        sums = np.stack([np.bincount(cells, np.tile(c, len(moving)), len(sizes)) for c in points_NC.T], axis=1)
        means = np.divide(sums, sizes, out=centers[moving].reshape(-1, channels), where=sizes > 0)
        centers[moving] = means.reshape(-1, k, channels)
        gains[moving] = (sums**2 / np.maximum(sizes, 1)).reshape(len(moving), -1).sum(axis=1)
    return centers, labels, gains
