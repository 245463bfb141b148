"""Judge numbers of clusters without labels: silhouette, Davies-Bouldin index, and stability under subsampling.

Letters: N rows, C channels, M numbers of clusters.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usseg.pipeline.execution import Progress, no_progress
from usseg.stages.cluster.methods import kmeans

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
PAIRS = 5  # pairs of subsamples
SHARE = 0.8  # rows of a subsample, as in Ben-Hur et al.
STABLE = 0.8  # least mean adjusted Rand index of a stable number of clusters; a convention of this module


@dataclass(frozen=True)
class Judgement:
    """The scores of one number of clusters.

    Attributes:
        k: the number of clusters.
        silhouette: mean silhouette of the rows, in [-1, 1]; higher is better.
        davies_bouldin: the Davies-Bouldin index, at least 0; lower is better.
        stability: mean adjusted Rand index of the pairs of subsamples, at most 1; higher is better.
        spread: sample standard deviation of the adjusted Rand index over the pairs.
    """

    k: int
    silhouette: float
    davies_bouldin: float
    stability: float
    spread: float


def judge(
    rows_NC: F32,
    areas_N: F64,
    numbers: Sequence[int],
    *,
    seed: int,
    options: kmeans.Options,
    progress: Progress = no_progress,
) -> list[Judgement]:
    """Judge numbers of clusters by k-means on the rows.

    Memory: a matrix of the distances of all rows, 4 N^2 bytes.

    Args:
        rows_NC: float32 (N, C), the rows as k-means sees them, N at least 4; of unit length for metric `cosine`.
        areas_N: float64 (N,), the area of each row, which `options.area_weight` reads.
        numbers: the numbers of clusters, each from 2 to `most_clusters(rows_NC)`.
        seed: of k-means, and of the subsamples.
        options: of the method kmeans.
        progress: gets how many numbers are judged, and how many there are.

    Source: Rousseeuw, Silhouettes (1987); Davies and Bouldin, A cluster separation measure (1979); `stability`.
    """
    from sklearn.metrics import davies_bouldin_score, silhouette_score

    rows, distances = rows_NC, distance_matrix(rows_NC)

    def labels_of(fitted_N: I64, labelled_N: I64, *, k: int) -> I64:
        clustering = kmeans.fit(rows[fitted_N], areas_N[fitted_N], k=k, seed=seed, options=options)
        return kmeans.predict(clustering, rows[labelled_N], options)

    everything, judgements = np.arange(len(rows)), []
    for done, k in enumerate(numbers):
        labels = labels_of(everything, everything, k=k)
        rand = stability(len(rows), functools.partial(labels_of, k=k), seed=seed)
        judgements.append(
            Judgement(
                k,
                float(silhouette_score(distances, labels, metric="precomputed")),
                float(davies_bouldin_score(rows, labels)),
                float(rand.mean()),
                float(rand.std(ddof=1)),
            )
        )
        progress(done + 1, len(numbers))
    return judgements


def distance_matrix(rows_NC: F32) -> F32:
    """The Euclidean distances of all rows, float32 (N, N), with 0 on the diagonal and between equal rows."""
    from sklearn.metrics import pairwise_distances

    distances = np.empty((len(rows_NC), len(rows_NC)), np.float32)
    exact = rows_NC.astype(np.float64)
    for start in range(0, len(exact), 512):
        distances[start : start + 512] = pairwise_distances(exact[start : start + 512], exact)
    np.fill_diagonal(distances, 0)
    return distances


def stability(count: int, labels_of: Callable[[I64, I64], I64], *, seed: int) -> F64:
    """Cluster two random subsamples, and compare the labels of their common rows by the adjusted Rand index.

    Two subsamples of SHARE of the rows are drawn PAIRS times. They are the same for every clustering method.

    Args:
        count: N, the number of rows, at least 4.
        labels_of: (indices of the rows to fit, indices of the rows to label) -> the labels of the latter.
        seed: of the subsamples.

    Returns:
        float64 (PAIRS,), each at most 1; about 0 for clusterings that agree by chance only.

    Source: Ben-Hur, Elisseeff and Guyon, A stability based method for discovering structure in clustered data (2002),
    with the index of Hubert and Arabie, Comparing partitions (1985).
    """
    from sklearn.metrics import adjusted_rand_score

    size, found = max(2, round(SHARE * count)), []
    for pair in range(PAIRS):
        rng = np.random.default_rng([seed, pair])
        first, second = (np.sort(rng.choice(count, size, replace=False)) for _ in range(2))
        common = np.intersect1d(first, second)
        found.append(adjusted_rand_score(labels_of(first, common), labels_of(second, common)))
    return np.array(found)


def most_clusters(rows_NC: F32) -> int:
    """The largest number of clusters that can be judged: at most the different rows, and less than all rows."""
    return min(len(np.unique(rows_NC + np.float32(0), axis=0)), len(rows_NC) - 1)


@dataclass(frozen=True)
class Suggestion:
    """A suggested number of clusters.

    Attributes:
        k: the number; None: no number is stable.
        peaks: the other stable numbers whose silhouette is higher than those of both neighbours, ascending.
        reason: a sentence.
    """

    k: int | None
    peaks: tuple[int, ...]
    reason: str


def suggest(judgements: Sequence[Judgement]) -> Suggestion:
    """The stable number of clusters with the highest local maximum of the silhouette.

    A number is stable if its mean adjusted Rand index is at least STABLE. The first and the last number are no local
    maximum, because one neighbour is unknown. They are suggested only if no number between them is a stable maximum.
    The silhouette of two clusters is most often the highest of all, also where each of the two is a mixture of classes.

    Args:
        judgements: at least one, in ascending order of k.
    """
    stable = [one for one in judgements if one.stability >= STABLE]
    if not stable:
        most = max(judgements, key=lambda one: one.stability)
        return Suggestion(
            None,
            (),
            f"no number is stable: the adjusted Rand index is below {STABLE} everywhere, at most {most.stability:.3f} "
            f"for {most.k} clusters.\nThese features have no clear groups",
        )
    inner = [
        one
        for before, one, after in zip(judgements, judgements[1:], judgements[2:], strict=False)
        if one in stable and one.silhouette > max(before.silhouette, after.silhouette)
    ]
    best = max(inner or stable, key=lambda one: one.silhouette)
    among = "local maximum of the silhouette" if inner else "silhouette"
    reason = (
        f"the highest {among} ({best.silhouette:.3f}) among the numbers with a stability of {STABLE} or more "
        f"({best.stability:.3f})"
    )
    if not inner:
        reason += ".\nNo number between the first and the last is a stable local maximum"
    return Suggestion(best.k, tuple(one.k for one in inner if one is not best), reason)
