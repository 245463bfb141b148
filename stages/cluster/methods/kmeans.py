"""k-means, squared Euclidean or cosine: all starts side by side, so that each iteration reads the rows once.

N rows, B of them in a block, C channels, K clusters, S starts. Nearest centres come from one product a block on the CPU, which for the
few centres of a clustering is faster than faiss, and from faiss on a GPU.
"""

import functools
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.checkpoint import NO_CHECKPOINT, Checkpoint
from usseg.pipeline.execution import Progress, no_progress
from usseg.pipeline.params import Params, refused
from usseg.stages.cluster.method import F32, F64, Clustering, ClusterMethod
from usseg.stages.cluster.rows import Rows, first_distinct, in_blocks
from usseg.stages.cluster.scaling import unit_rows

I64 = npt.NDArray[np.int64]
SAMPLE, SAMPLE_PER_CLUSTER = 32_768, 256  # rows; the second is what faiss takes of each cluster
ON_GPU = threading.Lock()


class Options(Params):
    """Options of method `kmeans`."""

    metric: Literal["l2", "cosine"] = Field("l2", description="cosine: rows and centres at unit length")
    n_init: int = Field(5, ge=1, le=1000, description="k-means++ starts; the one with the lowest objective is kept")
    iterations: int = Field(100, ge=1, le=100_000, description="most Lloyd iterations of a start")
    area_weight: float = Field(
        0.0, ge=0, le=100, description="a segment counts by its area to this power; 0: all alike"
    )


def gpu_of(device: str) -> int | None:
    """The number of the GPU that faiss works on; None where `device` is none or faiss knows none."""
    if device == "cpu":
        return None
    import faiss

    known = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
    return int(device.partition(":")[2] or 0) if known else None


def nearest(rows_NC: F32, centers_KC: F32) -> tuple[I64, F32]:
    """Nearest centre of each row and the squared distance."""
    import faiss

    distances, labels = faiss.knn(np.ascontiguousarray(rows_NC), np.ascontiguousarray(centers_KC, np.float32), 1)
    return labels[:, 0].astype(np.int64), distances[:, 0]


@functools.cache
def gpu_resources() -> Any:
    """The memory of the GPU that faiss works in, taken once."""
    import faiss

    return faiss.StandardGpuResources()


def nearest_of_starts(rows_BC: F32, centers_SKC: F32, *, gpu: int | None) -> I64:
    """Nearest of each start's centres, (S, B)."""
    if gpu is not None:
        import faiss

        with ON_GPU:  # whose resources are for one thread
            found = [faiss.knn_gpu(gpu_resources(), rows_BC, centers, 1, device=gpu)[1] for centers in centers_SKC]
        return np.stack(found).astype(np.int64)[:, :, 0]
    starts, k, channels = centers_SKC.shape
    closeness = rows_BC @ centers_SKC.reshape(-1, channels).T
    closeness -= 0.5 * (centers_SKC**2).sum(axis=2).reshape(-1)
    labels: I64 = closeness.reshape(-1, starts, k).argmax(axis=2).T
    return labels


def plus_plus(rows_NC: F32, weights_N: F64, *, k: int, rngs: list[np.random.Generator]) -> F32:
    """Greedy k-means++ centres, (S, K, C), a start for each generator: of 2 + log K rows drawn, the best becomes a centre.

    Source: Arthur and Vassilvitskii, k-means++ (2007), sections 2.2 and 7.
    """
    starts, trials = len(rngs), 2 + int(np.log(k))
    weights = weights_N if weights_N.sum() > 0 else np.ones(len(rows_NC))
    norms = np.einsum("nc,nc->n", rows_NC, rows_NC)

    def drawn(chances_N: F64, rng: np.random.Generator, count: int) -> I64:
        reached = np.cumsum(chances_N)
        return np.searchsorted(reached, rng.random(count) * reached[-1], side="right").clip(0, len(rows_NC) - 1)

    def distances(indices_M: I64) -> F32:
        found = norms + norms[indices_M, None] - 2 * (rows_NC[indices_M] @ rows_NC.T)
        found[np.arange(len(indices_M)), indices_M] = 0
        return np.maximum(found, 0, dtype=np.float32)

    chosen = np.empty((starts, k), np.int64)
    chosen[:, 0] = [drawn(weights, rng, 1)[0] for rng in rngs]
    closest_SN = distances(chosen[:, 0])
    for step in range(1, k):
        tried = np.array([drawn(closest * weights, rng, trials) for closest, rng in zip(closest_SN, rngs, strict=True)])
        found = np.minimum(distances(tried.reshape(-1)).reshape(starts, trials, -1), closest_SN[:, None])
        best = (found @ weights).argmin(axis=1)
        chosen[:, step] = tried[np.arange(starts), best]
        closest_SN = found[np.arange(starts), best]
    return rows_NC[chosen]


@dataclass
class Start:
    """One start of Lloyd's iterations. Row K of the sums is that of rows without a cluster."""

    centers: F32  # (K, C)
    labels: npt.NDArray[np.unsignedinteger]  # (N,); K: none yet
    sums: F64  # (K + 1, C), weighted
    mass: F64  # (K + 1,), weights
    counts: I64  # (K + 1,), rows
    history: list[float] = field(default_factory=list)
    refilled: bool = False

    def above(self) -> float:
        """The objective less the weighted squared lengths of the rows."""
        k, centers = len(self.centers), self.centers.astype(np.float64)
        return float(self.mass[:k] @ (centers**2).sum(axis=1) - 2 * (centers * self.sums[:k]).sum())

    def update(self, *, spherical: bool) -> None:
        """Centres become means; those of no row, or of rows without weight, stay."""
        k = len(self.centers)
        moving = (self.counts[:k] > 0) & (self.mass[:k] > 1e-12 * self.mass[:k].sum())
        means = (self.sums[:k][moving] / self.mass[:k][moving, None]).astype(np.float32)
        self.centers[moving] = unit_rows(means) if spherical else means


def block_changes(rows_BC: F32, weights_B: F64, old_SB: I64, new_SB: I64, *, k: int) -> tuple[F64, F64, I64]:
    """What rows that change their cluster add to the sums (S, K + 1, C), masses and counts (S, K + 1) of clusters."""
    moved = np.flatnonzero((old_SB != new_SB).any(axis=0))
    rows, weights, at = rows_BC[moved].astype(np.float64), weights_B[moved], np.arange(len(moved))
    sums, mass, counts = [], [], []
    for old, new in zip(old_SB[:, moved], new_SB[:, moved], strict=True):
        signed = np.zeros((k + 1, len(moved)))
        signed[new, at] = 1
        signed[old, at] -= 1
        counts.append(signed.sum(axis=1).astype(np.int64))
        signed *= weights
        mass.append(signed.sum(axis=1))
        sums.append(signed @ rows)
    return np.stack(sums), np.stack(mass), np.stack(counts)


def assign(rows: Rows, weights_N: F64, starts: list[Start], *, gpu: int | None) -> I64:
    """Move every row to its nearest centre; returns how many rows of each start moved."""
    centers, k = np.stack([start.centers for start in starts]), len(starts[0].centers)

    def of_block(block: F32, part: slice) -> tuple[I64, F64, F64, I64]:
        new = nearest_of_starts(block, centers, gpu=gpu)
        old = np.stack([start.labels[part] for start in starts]).astype(np.int64)
        for start, labels in zip(starts, new, strict=True):
            start.labels[part] = labels
        return (old != new).sum(axis=1), *block_changes(block, weights_N[part], old, new, k=k)

    total = np.zeros(len(starts), np.int64)
    for moved, sums, mass, counts in rows.map(of_block):
        total += moved
        for i, start in enumerate(starts):
            start.sums += sums[i]
            start.mass += mass[i]
            start.counts += counts[i]
    return total


def refill(rows: Rows, weights_N: F64, start: Start) -> bool:
    """Put the centres of empty clusters on the rows that cost most, one a block; False where there is nothing to do."""
    empty = np.flatnonzero(start.counts[:-1] == 0)
    if start.refilled or not len(empty):
        return False

    def costliest(block: F32, part: slice) -> tuple[float, int]:
        away = ((block - start.centers[start.labels[part]]) ** 2).sum(axis=1) * weights_N[part]
        row = int(away.argmax())
        return -float(away[row]), part.start + row

    found = [row for cost, row in sorted(rows.map(costliest)) if cost < 0][: len(empty)]
    start.centers[empty[: len(found)]] = rows.take(np.array(found, np.int64))
    start.refilled = True
    return bool(found)


def lloyd(
    rows: Rows, weights_N: F64, centers_SKC: F32, *, iterations: int, spherical: bool, gpu: int | None
) -> list[tuple[float, Clustering]]:
    """Lloyd's iterations from every start, until no row changes its cluster; objective and clustering of each."""
    _, k, channels = centers_SKC.shape
    starts = [
        Start(
            centers.copy(),
            np.full(len(rows), k, np.min_scalar_type(k)),
            np.zeros((k + 1, channels)),
            np.zeros(k + 1),
            np.zeros(k + 1, np.int64),
        )
        for centers in centers_SKC
    ]
    lengths = sum(rows.map(lambda block, part: float(weights_N[part] @ np.einsum("nc,nc->n", block, block))))
    going = starts
    for _ in range(iterations):
        moved = assign(rows, weights_N, going, gpu=gpu)
        for start, count in zip(going, moved, strict=True):
            start.history.append(max(0.0, lengths + start.above()) / len(rows))
            start.update(spherical=spherical)
            start.refilled &= not count
        going = [s for s, count in zip(going, moved, strict=True) if count or refill(rows, weights_N, s)]
        if not going:
            break
    return [(lengths + start.above(), Clustering(start.centers, np.array(start.history))) for start in starts]


def check(options: Options, sections: Mapping[str, Any]) -> None:
    """Refuse a weight by area where all rows have the same."""
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
    """Cluster rows, float32 (N, C), into at most k clusters; a row weighs as much as its area (N,) to the power `area_weight`.

    With fewer distinct rows than k, there are as many clusters as distinct rows. With many rows, the starts are first brought to the end
    on a random sample of them, so that few passes over all are left. The checkpoint and the progress are not used.

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
        centers = np.stack([found.centers for _, found in search(few_rows, weights[chosen], centers)])
    return min(search(rows, weights, centers), key=lambda found: found[0])[1]


def predict(clustering: Clustering, rows_NC: F32, options: Options) -> I64:
    """The nearest centre of each row."""
    rows = unit_rows(rows_NC) if options.metric == "cosine" else rows_NC
    return nearest(np.asarray(rows, np.float32), clustering.centers)[0]


def scores(clustering: Clustering, rows_NC: F32, options: Options) -> F32:
    """x c - |c|^2 / 2 of each row x and centre c: half the squared distance, negative, plus what is alike for all centres.

    It is linear in the row. By cosine it is the cosine less a half.
    """
    rows = unit_rows(rows_NC) if options.metric == "cosine" else rows_NC
    centers = clustering.centers
    values: F32 = rows @ centers.T - np.float32(0.5) * (centers**2).sum(axis=1)
    return values


def on_gpu(options: Options) -> bool:
    """Where faiss knows GPUs."""
    return gpu_of("cuda:0") is not None


METHOD = ClusterMethod(
    summary="k-means by squared distance or by cosine, of several k-means++ starts the best.",
    call=fit,
    options=Options,
    gpu=on_gpu,
    check=check,
    predict=predict,
    scores=scores,
    source="Arthur and Vassilvitskii, k-means++ (2007); semester report on DSM, section 3.2",
)
