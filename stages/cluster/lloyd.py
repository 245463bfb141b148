"""Lloyd's iterations of k-means. All starts advance together, so that each iteration reads the rows once.

Letters: N rows, B rows of a block, C channels, K clusters, S starts.
On a CPU the nearest centres come from one matrix product a block, which is faster than faiss for few centres. On a GPU
they come from faiss.
"""

import functools
import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.stages.cluster.method import F32, F64, Clustering
from usseg.stages.cluster.rows import Rows
from usseg.stages.cluster.scaling import unit_rows

I64 = npt.NDArray[np.int64]
GPU_LOCK = threading.Lock()  # the GPU resources of faiss are for one thread at a time


def gpu_of(device: str) -> int | None:
    """The number of the GPU that faiss computes on; None for the device cpu, and where faiss has no GPU support."""
    if device == "cpu":
        return None
    import faiss

    gpus = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
    return int(device.partition(":")[2] or 0) if gpus else None


def nearest(rows_NC: F32, centers_KC: F32) -> tuple[I64, F32]:
    """The nearest centre of each row, int64 (N,), and the squared distance to it, float32 (N,)."""
    import faiss

    distances, labels = faiss.knn(np.ascontiguousarray(rows_NC), np.ascontiguousarray(centers_KC, np.float32), 1)
    return labels[:, 0].astype(np.int64), distances[:, 0]


@functools.cache
def gpu_resources() -> Any:
    """The GPU memory that faiss computes in. It is allocated once."""
    import faiss

    return faiss.StandardGpuResources()


def nearest_of_starts(rows_BC: F32, centers_SKC: F32, *, gpu: int | None) -> I64:
    """The nearest centre of each row, for every start: int64 (S, B)."""
    if gpu is not None:
        import faiss

        with GPU_LOCK:
            labels_of_starts = [
                faiss.knn_gpu(gpu_resources(), rows_BC, centers, 1, device=gpu)[1] for centers in centers_SKC
            ]
        return np.stack(labels_of_starts).astype(np.int64)[:, :, 0]
    starts, k, channels = centers_SKC.shape
    closeness = rows_BC @ centers_SKC.reshape(-1, channels).T
    closeness -= 0.5 * (centers_SKC**2).sum(axis=2).reshape(-1)
    labels: I64 = closeness.reshape(-1, starts, k).argmax(axis=2).T
    return labels


@dataclass
class Start:
    """The state of Lloyd's iterations of one start.

    Entry K of the sums, mass and counts belongs to the rows without a cluster.
    """

    centers: F32  # (K, C)
    labels: npt.NDArray[np.unsignedinteger]  # (N,), the cluster of each row; K: no cluster yet
    sums: F64  # (K + 1, C), weighted sums of the rows
    mass: F64  # (K + 1,), sums of the weights
    counts: I64  # (K + 1,), numbers of rows
    history: list[float] = field(default_factory=list)
    refilled: bool = False

    def relative_objective(self) -> float:
        """The objective minus the weighted sum of the squared lengths of all rows."""
        k, centers = len(self.centers), self.centers.astype(np.float64)
        return float(self.mass[:k] @ (centers**2).sum(axis=1) - 2 * (centers * self.sums[:k]).sum())

    def update(self, *, spherical: bool) -> None:
        """Move each centre to the weighted mean of its rows.

        The centre of an empty cluster, or of rows of weight 0, stays.
        """
        k = len(self.centers)
        moving = (self.counts[:k] > 0) & (self.mass[:k] > 1e-12 * self.mass[:k].sum())
        means = (self.sums[:k][moving] / self.mass[:k][moving, None]).astype(np.float32)
        self.centers[moving] = unit_rows(means) if spherical else means


def block_changes(rows_BC: F32, weights_B: F64, old_SB: I64, new_SB: I64, *, k: int) -> tuple[F64, F64, I64]:
    """The changes of the sums (S, K + 1, C), masses and counts (S, K + 1) by rows that change their cluster."""
    moved = np.flatnonzero((old_SB != new_SB).any(axis=0))
    rows, weights, columns = rows_BC[moved].astype(np.float64), weights_B[moved], np.arange(len(moved))
    sums, mass, counts = [], [], []
    for old, new in zip(old_SB[:, moved], new_SB[:, moved], strict=True):
        signed = np.zeros((k + 1, len(moved)))
        signed[new, columns] = 1
        signed[old, columns] -= 1
        counts.append(signed.sum(axis=1).astype(np.int64))
        signed *= weights
        mass.append(signed.sum(axis=1))
        sums.append(signed @ rows)
    return np.stack(sums), np.stack(mass), np.stack(counts)


def assign(rows: Rows, weights_N: F64, starts: list[Start], *, gpu: int | None) -> I64:
    """Assign every row to its nearest centre. Returns how many rows of each start changed their cluster, int64 (S,)."""
    centers, k = np.stack([start.centers for start in starts]), len(starts[0].centers)

    def changes_of_block(block: F32, part: slice) -> tuple[I64, F64, F64, I64]:
        new = nearest_of_starts(block, centers, gpu=gpu)
        old = np.stack([start.labels[part] for start in starts]).astype(np.int64)
        for start, labels in zip(starts, new, strict=True):
            start.labels[part] = labels
        return (old != new).sum(axis=1), *block_changes(block, weights_N[part], old, new, k=k)

    total = np.zeros(len(starts), np.int64)
    for moved, sums, mass, counts in rows.map(changes_of_block):
        total += moved
        for i, start in enumerate(starts):
            start.sums += sums[i]
            start.mass += mass[i]
            start.counts += counts[i]
    return total


def refill(rows: Rows, weights_N: F64, start: Start) -> bool:
    """Move the centres of empty clusters to rows that are far from their centres, at most one row of each block.

    Returns whether a centre was moved. After a refill, a start is refilled again only once a row has changed its
    cluster.
    """
    empty = np.flatnonzero(start.counts[:-1] == 0)
    if start.refilled or not len(empty):
        return False

    def costliest(block: F32, part: slice) -> tuple[float, int]:
        distances = ((block - start.centers[start.labels[part]]) ** 2).sum(axis=1) * weights_N[part]
        row = int(distances.argmax())
        return -float(distances[row]), part.start + row

    farthest = [row for cost, row in sorted(rows.map(costliest)) if cost < 0][: len(empty)]
    start.centers[empty[: len(farthest)]] = rows.take(np.array(farthest, np.int64))
    start.refilled = True
    return bool(farthest)


def lloyd(
    rows: Rows, weights_N: F64, centers_SKC: F32, *, iterations: int, spherical: bool, gpu: int | None
) -> list[tuple[float, Clustering]]:
    """Lloyd's iterations from every start, until no row changes its cluster.

    Returns the objective and clustering of each start.
    """
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
    active = starts
    for _ in range(iterations):
        moved = assign(rows, weights_N, active, gpu=gpu)
        for start, count in zip(active, moved, strict=True):
            start.history.append(max(0.0, lengths + start.relative_objective()) / len(rows))
            start.update(spherical=spherical)
            start.refilled &= not count
        active = [s for s, count in zip(active, moved, strict=True) if count or refill(rows, weights_N, s)]
        if not active:
            break
    return [
        (lengths + start.relative_objective(), Clustering(start.centers, np.array(start.history))) for start in starts
    ]
