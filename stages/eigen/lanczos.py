"""The top eigenpairs of a dense graph in float32: a Lanczos iteration that reads one triangle of the weights a step.

N nodes, J basis vectors, K eigenpairs. The float64 solvers of solvers.py are its plain twins.
"""

import math

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
RESIDUAL = 1e-6  # of an eigenpair of a matrix of norm 1; float32 itself leaves about 2e-7
BREAKDOWN = 1e-6  # a new direction shorter than this is rounding
MOST_STEPS = 300
SHORT = 0.5  # a new direction that is this small a part of a product is cleaned of the known ones twice
CHECK_EVERY = 8  # least steps between two looks at the residuals
REACH = 16  # rounds in which a connected graph must be walked through


def product(weights_NN: F32, vector_N: F32) -> F32:
    """W x for a symmetric W, of which one triangle is read: half the memory traffic of an ordinary product."""
    from scipy.linalg.blas import ssymv

    out: F32 = ssymv(np.float32(1), weights_NN.T, vector_N)
    return out


def is_connected(weights_NN: F32) -> bool:
    """Whether nodes with positive weights between them hang together, as far as REACH rounds can tell. Needs weights >= 0."""
    reached = weights_NN[0] > 0
    reached[0] = True
    for _ in range(REACH):
        if reached.all():
            return True
        wider = reached | (product(weights_NN, reached.astype(np.float32)) > 0)
        if (wider == reached).all():
            return False
        reached = wider
    return False


def top_of_graph(weights_NN: F32, degrees_N: F32, *, k: int) -> tuple[F64, F32] | None:
    """The k largest eigenpairs of S = D^-1/2 W D^-1/2, or None where they do not settle within MOST_STEPS.

    Starts from the trivial eigenvector D^1/2 1, which is exact, then from a fixed random direction. All basis vectors are
    kept and every new one is made orthogonal to them, so that nothing is found twice and no restart is needed.
    Where the space is exhausted before k pairs are found (equal eigenvalues, few distinct tokens) a new direction is drawn.

    Args:
        weights_NN: float32, symmetric, C-contiguous.
        degrees_N: its row sums, positive.
        k: at most N / 4.

    Returns:
        values (k,) descending, within about 2e-7 (5e-6 for 0-1 weights: float32 sums of equal terms are biased);
        vectors float32 (k, N) of S, orthonormal within about 1e-6.

    Source: Parlett, The Symmetric Eigenvalue Problem, chapter 13.
    """
    from scipy.linalg import eigh_tridiagonal

    n = len(weights_NN)
    inverse_root: F32 = (1 / np.sqrt(degrees_N)).astype(np.float32)
    limit = min(n, MOST_STEPS)
    rng = np.random.default_rng(0)
    basis_JN = np.empty((limit + 1, n), np.float32)
    basis_JN[0] = np.sqrt(degrees_N) / np.sqrt(degrees_N.sum())
    diagonal, beside = np.zeros(limit), np.zeros(limit)
    look = 2 * k
    for step in range(limit):
        known = basis_JN[: step + 1]
        new: F32 = product(weights_NN, known[step] * inverse_root) * inverse_root
        along, length = remove(new, known)
        diagonal[step] = along[step]
        if length < SHORT * math.sqrt(along @ along):
            length = remove(new, known)[1]
        if length > BREAKDOWN:
            beside[step] = length
        else:
            new = rng.standard_normal(n, np.float32)
            remove(new, known)
            length = remove(new, known)[1]
        np.divide(new, np.float32(length), out=basis_JN[step + 1])
        size = step + 1
        if size < min(look, limit):
            continue
        look = size + max(CHECK_EVERY, size // 8)
        values, weights = eigh_tridiagonal(diagonal[:size], beside[:step])
        values, weights = values[-k:], weights[:, -k:]
        # After one breakdown the fresh direction may still hold an equal eigenvalue; after two in a row nothing is left.
        exhausted = beside[step] > 0 or beside[step - 1] == 0
        if exhausted and np.abs(beside[step] * weights[-1]).max() < RESIDUAL:
            return values[::-1].copy(), weights[:, ::-1].T.astype(np.float32) @ basis_JN[:size]
    return None


def remove(new_N: F32, known_JN: F32) -> tuple[F32, float]:
    """Take the known directions out of a vector, in place; returns how much of each there was, and the length of what is left."""
    along: F32 = known_JN @ new_N
    new_N -= along @ known_JN
    return along, math.sqrt(new_N @ new_N)


def orthonormal(vectors_KN: F64) -> F64:
    """Nearly orthonormal rows made orthonormal to rounding, each changed as little as can be (two Newton-Schulz steps)."""
    for _ in range(2):
        vectors_KN = 1.5 * vectors_KN - 0.5 * (vectors_KN @ vectors_KN.T) @ vectors_KN
    return vectors_KN
