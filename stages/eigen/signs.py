"""Deterministic signs and null spaces."""

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]


def fix_signs(vectors_KN: F64, *, trivial_first: bool = True) -> F64:
    """Give every eigenvector one sign: the minority side is positive (DSM).

    On a tie the largest entry by magnitude is positive, the first of equals. Row 0 is positive where `trivial_first`.
    """
    out = vectors_KN.copy()
    for row, vector in enumerate(out):
        positive = float((vector > 0).mean())
        leader = vector[np.argmax(np.abs(vector) > np.abs(vector).max(initial=0) * (1 - 1e-6))]
        if trivial_first and row == 0:
            flip = vector.sum() < 0
        elif positive in (0.0, 0.5, 1.0):
            flip = leader < 0
        else:
            flip = positive > 0.5
        if flip:
            out[row] = -vector
    return out


def component_indicators(labels_N: npt.NDArray[np.integer], degrees_N: F64, *, k: int) -> F64:
    """Null space of a disconnected graph, (min(k, components), N): one indicator a component, by first token.

    Row 0 is the constant vector; the others are indicators made D-orthogonal to the rows before, all with y^T D y = 1.
    """
    _, first = np.unique(labels_N, return_index=True)
    order = np.argsort(first)
    rows: list[F64] = [np.ones(len(labels_N)) / np.sqrt(degrees_N.sum())]
    for component in order[: max(0, min(k, len(order)) - 1)]:
        vector = (labels_N == component).astype(np.float64)
        for row in rows:
            vector = vector - (vector * degrees_N) @ row * row
        rows.append(vector / np.sqrt((vector**2) @ degrees_N))
    return np.array(rows[:k])
