"""Deterministic signs and null spaces."""

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
ROUNDING = 1e-9  # share of the largest entry below which an entry counts as 0


def fix_signs(vectors_KN: F64, *, trivial_first: bool = True) -> F64:
    """Give every eigenvector one sign: the minority side is positive (DSM).

    On a tie the largest entry by magnitude is positive, the first of equals. Row 0 is positive where `trivial_first`.
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
    """Null space of a graph, (min(k, components), N), rows with y^T D y = 1.

    Row 0 is constant; the others are indicators of components, by first token, made D-orthogonal to the rows before.

    Args:
        labels_N: component of each node, -1 for a node without edges: its eigenvalue is 1, so that it is 0 in all rows.
        degrees_N: diagonal of D.
        k: most rows.
    """
    found, first = np.unique(labels_N, return_index=True)
    order = found[np.argsort(first)]
    order = order[order >= 0]
    masks = [labels_N >= 0, *(labels_N == component for component in order[:-1])]
    rows: list[F64] = []
    for mask in masks[: min(k, len(order))]:
        vector = mask.astype(np.float64)
        for row in rows:
            vector = vector - (vector * degrees_N) @ row * row
        rows.append(vector / np.sqrt((vector**2) @ degrees_N))
    return np.array(rows).reshape(-1, len(labels_N))
