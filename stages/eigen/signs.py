"""Deterministic signs of eigenvectors, and the null space of a Laplacian. Letters: K eigenvectors, N nodes."""

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
ROUNDING = 1e-9  # share of the largest entry below which an entry counts as 0


def fix_signs(vectors_KN: F64, *, trivial_first: bool = True) -> F64:
    """Fix the sign of every eigenvector (K, N): fewer than half of its entries are positive (DSM).

    Where exactly half, none or all of the entries are positive, the entry of the largest magnitude becomes positive.
    Among equally large entries the first counts. With `trivial_first` row 0, the trivial eigenvector, is positive.
    """
    sizes = np.abs(vectors_KN).max(axis=1, keepdims=True)
    positive = (vectors_KN > ROUNDING * sizes).mean(axis=1)
    flipped = positive > 0.5
    for row in np.flatnonzero((positive == 0) | (positive == 0.5) | (positive == 1)):
        largest = np.argmax(np.abs(vectors_KN[row]) > sizes[row] * (1 - 1e-6))
        flipped[row] = vectors_KN[row, largest] < 0
    if trivial_first:
        flipped[0] = vectors_KN[0].sum() < 0
    return np.where(flipped[:, None], -vectors_KN, vectors_KN)


def component_indicators(labels_N: npt.NDArray[np.integer], degrees_N: F64, *, k: int) -> F64:
    """The null space of the normalised Laplacian: float64 (min(k, components), N), rows y with y^T D y = 1.

    Row 0 is constant. The other rows are the indicators of the connected components, in the order of their first
    nodes, each made D-orthogonal to the rows before it. Isolated nodes are 0 in every row, because their eigenvalue is
    1.

    Args:
        labels_N: connected component of each node; -1 for an isolated node.
        degrees_N: float64 (N,), the diagonal of D.
        k: largest number of rows.
    """
    values, first = np.unique(labels_N, return_index=True)
    order = values[np.argsort(first)]
    order = order[order >= 0]
    masks = [labels_N >= 0, *(labels_N == component for component in order[:-1])]
    rows: list[F64] = []
    for mask in masks[: min(k, len(order))]:
        vector = mask.astype(np.float64)
        for row in rows:
            vector = vector - (vector * degrees_N) @ row * row
        rows.append(vector / np.sqrt((vector**2) @ degrees_N))
    return np.array(rows).reshape(-1, len(labels_N))
