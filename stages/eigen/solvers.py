"""The K largest eigenpairs of a symmetric matrix."""

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
DENSE_BELOW = 400  # nodes under which LAPACK beats ARPACK here


def largest_dense(matrix_NN: F64, *, k: int) -> tuple[F64, F64]:
    """LAPACK on the dense float64 matrix: values (k,) descending, vectors (k, N)."""
    from scipy.linalg import eigh

    n = len(matrix_NN)
    values, vectors = eigh(matrix_NN, subset_by_index=[n - k, n - 1])
    return values[::-1].copy(), np.ascontiguousarray(vectors[:, ::-1].T)


def largest_iterative(matrix_NN: F64, *, k: int, start_N: F64 | None = None) -> tuple[F64, F64]:
    """ARPACK from a fixed start, float64, to machine precision; falls back on LAPACK where k is too close to N."""
    from scipy.sparse.linalg import eigsh

    n = len(matrix_NN)
    if k >= n - 1:
        return largest_dense(matrix_NN, k=k)
    start = np.ones(n) if start_N is None else start_N
    start = start / np.linalg.norm(start) + np.random.default_rng(0).standard_normal(n) * 0.1 / np.sqrt(n)
    values, vectors = eigsh(matrix_NN, k=k, which="LA", v0=start, ncv=min(n, max(2 * k + 1, 40)), tol=0)
    order = np.argsort(values)[::-1]
    return values[order], np.ascontiguousarray(vectors[:, order].T)


def largest_batched(matrices_BNN: F64, *, k: int, device: str) -> tuple[F64, F64]:
    """torch.linalg.eigh on a batch of equal size: values (B, k) descending, vectors (B, k, N)."""
    import torch

    values, vectors = torch.linalg.eigh(torch.from_numpy(matrices_BNN).to(device))
    top = vectors[:, :, -k:].flip(-1).transpose(1, 2)
    return values[:, -k:].flip(-1).cpu().numpy(), top.contiguous().cpu().numpy()
