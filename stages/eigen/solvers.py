"""The k largest eigenpairs of symmetric matrices, in float64. Letters: B matrices, N rows and columns."""

import threading
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

F64 = npt.NDArray[np.float64]
SOLVERS = ("auto", "dense", "iterative", "batched")
LOADING = threading.Lock()
LOADED: set[str] = set()  # devices for which torch has loaded its linear algebra
DENSE_BELOW = 400  # rows; for smaller matrices LAPACK is faster than ARPACK


def largest(
    matrices: list[F64], *, k: int, solver: str = "auto", device: str = "cpu", starts: list[F64] | None = None
) -> list[tuple[F64, F64]]:
    """The k largest eigenpairs of symmetric matrices of one size, in float64 with every solver.

    Args:
        matrices: float64 (N, N) each.
        k: number of eigenpairs, at most N.
        solver: `dense`, `iterative`, `batched` (torch.linalg.eigh on `device`), or `auto`: `batched` on a GPU, else by
            size.
        device: for `batched`.
        starts: for `iterative`, a start vector (N,) of each matrix; None: vectors of ones.

    Returns:
        for each matrix its eigenvalues (k,), descending, and eigenvectors (k, N).

    Raises:
        ValueError: the solver is unknown.
    """
    n = len(matrices[0])
    if solver == "auto":
        solver = "batched" if device != "cpu" else ("dense" if n < DENSE_BELOW else "iterative")
    if solver == "batched":
        import torch

        if device != "cpu":
            load_linear_algebra(device)
        return list(zip(*largest_batched(torch.from_numpy(np.stack(matrices)).to(device), k=k), strict=True))
    if solver == "dense":
        return [largest_dense(matrix, k=k) for matrix in matrices]
    if solver == "iterative":
        starts = starts or [np.ones(n)] * len(matrices)
        return [largest_iterative(m, k=k, start_N=start) for m, start in zip(matrices, starts, strict=True)]
    raise ValueError(f"solver: found {solver!r}; {', '.join(SOLVERS)} are allowed")


def largest_dense(matrix_NN: F64, *, k: int) -> tuple[F64, F64]:
    """The k largest eigenpairs by LAPACK: values (k,), descending, and vectors (k, N), float64."""
    from scipy.linalg import eigh

    n = len(matrix_NN)
    values, vectors = eigh(matrix_NN, subset_by_index=[n - k, n - 1])
    if len(values) < k:  # among many equal eigenvalues LAPACK may return fewer than k, without an error
        values, vectors = eigh(matrix_NN)
    return values[: -k - 1 : -1].copy(), np.ascontiguousarray(vectors[:, : -k - 1 : -1].T)


def largest_iterative(matrix_NN: F64, *, k: int, start_N: F64) -> tuple[F64, F64]:
    """The k largest eigenpairs by ARPACK: values (k,), descending, and vectors (k, N).

    The start vector is fixed. The result has machine precision.

    LAPACK solves a matrix of zeros, and a matrix with k above N - 2.
    """
    from scipy.sparse.linalg import eigsh

    n = len(matrix_NN)
    if k >= n - 1 or not matrix_NN.any():
        return largest_dense(matrix_NN, k=k)
    rng = np.random.default_rng(0)
    start = start_N / np.linalg.norm(start_N) + rng.standard_normal(n) * 0.1 / np.sqrt(n)
    values, vectors = eigsh(matrix_NN, k=k, which="LA", v0=start, ncv=min(n, max(2 * k + 1, 40)), tol=0, rng=rng)
    order = np.argsort(values)[::-1]
    return values[order], np.ascontiguousarray(vectors[:, order].T)


def load_linear_algebra(device: str) -> None:
    """Let torch load its linear algebra for a GPU, once in each process.

    torch loads it in the first call. Two threads that make the first call at once would fail ("lazy wrapper should be
    called at most once"), so that a lock protects it.
    """
    import torch

    with LOADING:
        if device not in LOADED:
            torch.linalg.eigh(torch.eye(2, device=device))
            LOADED.add(device)


def largest_batched(matrices_BNN: "Tensor", *, k: int) -> tuple[F64, F64]:
    """The k largest eigenpairs by torch.linalg.eigh, on the device of the matrices (B, N, N), float64.

    Returns NumPy arrays: values (B, k), descending, and vectors (B, k, N).
    """
    import torch

    values, vectors = torch.linalg.eigh(matrices_BNN)
    top = vectors[:, :, -k:].flip(-1).mT
    return values[:, -k:].flip(-1).cpu().numpy(), top.contiguous().cpu().numpy()
