"""The top eigenpairs of a dense graph in float32: a Lanczos iteration that reads one triangle of the weights a step.

N nodes, J basis vectors, K eigenpairs. The float64 solvers of solvers.py are its plain twins.
"""

import math

import numpy as np
import numpy.typing as npt
from scipy.linalg import blas

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
RESIDUAL = 5e-8  # of an eigenpair of a matrix of norm 1: below what float32 itself leaves
BREAKDOWN = 1e-6  # a new direction shorter than this is rounding
MOST_STEPS = 300
SHORT = 0.5  # a new direction that is this small a part of a product is cleaned of the known ones twice
STEPS_A_DIGIT = 1 / 15  # of the basis, in which a residual loses a digit: when to look at it again


def product(weights_NN: F32, vector_N: F32) -> F32:
    """W x for a symmetric W, of which one triangle is read: half the memory traffic of an ordinary product."""
    out: F32 = blas.ssymv(1, weights_NN.T, vector_N)
    return out


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
    basis_JN[1] = fresh(rng, basis_JN[:1])
    diagonal, beside = np.ones(limit), np.zeros(limit)
    look = 2 * k + 8
    for step in range(1, limit):
        known = basis_JN[: step + 1]
        image: F32 = product(weights_NN, known[step] * inverse_root) * inverse_root
        new, along = remove(image, known)
        diagonal[step] = along[-1]
        length = blas.snrm2(new)
        if length < SHORT * blas.snrm2(along):
            new, _ = remove(new, known)
            length = blas.snrm2(new)
        if length > BREAKDOWN:
            beside[step] = length
            np.divide(new, np.float32(length), out=basis_JN[step + 1])
        else:
            basis_JN[step + 1] = fresh(rng, known)
        size = step + 1
        if size < min(look, limit):
            continue
        values, weights = eigh_tridiagonal(diagonal[:size], beside[:step])
        values, weights = values[-k:], weights[:, -k:]
        residual = np.abs(beside[step] * weights[-1]).max()
        # After one breakdown the fresh direction may still hold an equal eigenvalue; after two in a row nothing is left.
        exhausted = beside[step] > 0 or beside[step - 1] == 0
        if exhausted and residual < RESIDUAL:
            return values[::-1].copy(), weights[:, ::-1].T.astype(np.float32) @ basis_JN[:size]
        digits = math.log10(max(residual / RESIDUAL, 1))
        look = size + max(2, math.ceil(digits * size * STEPS_A_DIGIT))
    return None


def remove(new_N: F32, known_JN: F32) -> tuple[F32, F32]:
    """A vector without the known orthonormal directions, written in place, and how much of each there was (J,)."""
    along = blas.sgemv(1, known_JN.T, new_N, trans=1)
    return blas.sgemv(-1, known_JN.T, along, beta=1, y=new_N, overwrite_y=1), along


def fresh(rng: np.random.Generator, known_JN: F32) -> F32:
    """A random direction of unit length, orthogonal to the known ones."""
    new: F32 = rng.standard_normal((known_JN.shape[1],), np.float32)
    for _ in range(2):
        new, _ = remove(new, known_JN)
    unit: F32 = new / blas.snrm2(new)
    return unit


def orthonormal(vectors_KN: F64) -> F64:
    """Nearly orthonormal rows made orthonormal, each changed as little as can be: an error e becomes e^2 (Newton-Schulz)."""
    corrected: F64 = 1.5 * vectors_KN - 0.5 * (vectors_KN @ vectors_KN.T) @ vectors_KN
    return corrected
