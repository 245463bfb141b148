"""The largest eigenpairs of a dense graph by a Lanczos iteration in float32.

Each step reads one triangle of the weights.

Letters: N nodes, J basis vectors, K eigenpairs. The tests compare it with the float64 solvers of solvers.py.
"""

import math

import numpy as np
import numpy.typing as npt
from scipy.linalg import blas

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
RESIDUAL = 5e-8  # largest residual of a converged eigenpair, for a matrix of norm 1: below the rounding of float32
BREAKDOWN = 1e-6  # a new direction shorter than this consists of rounding errors
MOST_STEPS = 300
SHORT = 0.5  # below this share of the product, a new direction is made orthogonal to the basis a second time
STEPS_A_DIGIT = 1 / 15  # share of the basis by which it grows while a residual falls by a decimal digit


def symmetric_product(weights_NN: F32, vector_N: F32) -> F32:
    """W x, float32 (N,), for a symmetric W. Only one triangle of W is read, which halves the memory traffic."""
    out: F32 = blas.ssymv(1, weights_NN.T, vector_N)
    return out


def top_of_graph(weights_NN: F32, degrees_N: F32, *, k: int) -> tuple[F64, F32] | None:
    """The k largest eigenpairs of S = D^-1/2 W D^-1/2, or None where they do not converge within MOST_STEPS steps.

    The first basis vector is the trivial eigenvector D^1/2 1, which is exact. A fixed random direction follows. All
    basis vectors are kept, and every new one is made orthogonal to them. No eigenvector is therefore found twice, and
    no restart is needed. Equal eigenvalues, or few distinct tokens, can exhaust the Krylov space before k eigenpairs
    are found. A new random direction is drawn then.

    Args:
        weights_NN: float32 (node, node), symmetric, C-contiguous.
        degrees_N: float32 (node,), the row sums of the weights, positive.
        k: number of eigenpairs, at most N / 4.

    Returns:
        Eigenvalues, float64 (k,), descending, within about 2e-7 (within 5e-6 for weights 0 and 1, because float32 sums
        of equal terms are biased). Eigenvectors of S, float32 (k, N), orthonormal within about 1e-6.

    Source: Parlett, The Symmetric Eigenvalue Problem, chapter 13.
    """
    from scipy.linalg import eigh_tridiagonal

    n = len(weights_NN)
    inverse_root: F32 = (1 / np.sqrt(degrees_N)).astype(np.float32)
    limit = min(n, MOST_STEPS)
    rng = np.random.default_rng(0)
    basis_JN = np.empty((limit + 1, n), np.float32)
    basis_JN[0] = np.sqrt(degrees_N) / np.sqrt(degrees_N.sum())
    basis_JN[1] = random_direction(rng, basis_JN[:1])
    diagonal, off_diagonal = np.ones(limit), np.zeros(limit)
    next_check = 2 * k + 8
    for step in range(1, limit):
        known = basis_JN[: step + 1]
        product: F32 = symmetric_product(weights_NN, known[step] * inverse_root) * inverse_root
        new, coefficients = remove(product, known)
        diagonal[step] = coefficients[-1]
        length = blas.snrm2(new)
        if length < SHORT * blas.snrm2(coefficients):
            new, _ = remove(new, known)
            length = blas.snrm2(new)
        if length > BREAKDOWN:
            off_diagonal[step] = length
            np.divide(new, np.float32(length), out=basis_JN[step + 1])
        else:
            basis_JN[step + 1] = random_direction(rng, known)
        size = step + 1
        if size < min(next_check, limit):
            continue
        values, rotation = eigh_tridiagonal(diagonal[:size], off_diagonal[:step])
        values, rotation = values[-k:], rotation[:, -k:]
        residual = np.abs(off_diagonal[step] * rotation[-1]).max()
        # After one breakdown the random direction may still contain another eigenvector of an equal eigenvalue.
        # After two breakdowns in a row no such eigenvector is left.
        exhausted = off_diagonal[step] > 0 or off_diagonal[step - 1] == 0
        if exhausted and residual < RESIDUAL:
            return values[::-1].copy(), rotation[:, ::-1].T.astype(np.float32) @ basis_JN[:size]
        digits = math.log10(max(residual / RESIDUAL, 1))
        next_check = size + max(2, math.ceil(digits * size * STEPS_A_DIGIT))
    return None


def remove(new_N: F32, known_JN: F32) -> tuple[F32, F32]:
    """Subtract from a vector its components along orthonormal directions, in place.

    Returns the vector and the components (J,).
    """
    components = blas.sgemv(1, known_JN.T, new_N, trans=1)
    return blas.sgemv(-1, known_JN.T, components, beta=1, y=new_N, overwrite_y=1), components


def random_direction(rng: np.random.Generator, known_JN: F32) -> F32:
    """A random direction (N,) of unit length, orthogonal to the directions (J, N)."""
    new: F32 = rng.standard_normal((known_JN.shape[1],), np.float32)
    for _ in range(2):
        new, _ = remove(new, known_JN)
    unit: F32 = new / blas.snrm2(new)
    return unit


def orthonormal(vectors_KN: F64) -> F64:
    """Make nearly orthonormal rows (K, N) orthonormal by one Newton-Schulz step, which squares their error."""
    corrected: F64 = 1.5 * vectors_KN - 0.5 * (vectors_KN @ vectors_KN.T) @ vectors_KN
    return corrected
