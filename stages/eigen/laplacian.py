"""Eigenpairs of the graph Laplacian: normalised, plain, or those of the affinity itself."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.eigen.signs import component_indicators, fix_signs
from stages.eigen.solvers import DENSE_BELOW, largest_batched, largest_dense, largest_iterative

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Eigenpairs:
    """values (K,) ascending; vectors (K, N), row 0 trivial; how many connected components the graph has."""

    values: F64
    vectors: F64
    components: int


def degrees(weights_NN: F64) -> F64:
    """Row sums, with 1 in place of what is below 1e-12."""
    sums = weights_NN.sum(axis=1)
    return np.where(sums < 1e-12, 1.0, sums)


def normalized_laplacian_eigenpairs(
    weights_NN: npt.NDArray[np.floating], *, k: int, solver: str = "auto", device: str = "cpu"
) -> Eigenpairs:
    """The K smallest eigenpairs of (D - W) y = lambda D y.

    Solved as the top end of S = D^-1/2 W D^-1/2, lambda = 1 - mu, in float64; no shift-invert on a singular matrix.

    Args:
        weights_NN: floats (token, token), symmetric; negative entries are allowed (`threshold: false`).
        k: eigenpairs wanted; min(k, N) are returned.
        solver: `dense`, `iterative`, `batched` (torch.linalg.eigh on `device`) or `auto`.
        device: for `batched`.

    Returns:
        values in [0, 2] ascending; vectors with Y D Y^T = 1. The null space of a disconnected graph is spanned by its components.

    Source: DSM, equation 3; Shi and Malik, Normalized Cuts.
    """
    return normalized_laplacian_batch([weights_NN], k=k, solver=solver, device=device)[0]


def normalized_laplacian_batch(
    weights: list[npt.NDArray[np.floating]], *, k: int, solver: str = "auto", device: str = "cpu"
) -> list[Eigenpairs]:
    """The same for several images with the same number of tokens: one batched call on a GPU."""
    doubles = [np.asarray(w, np.float64) for w in weights]
    degree = [degrees(w) for w in doubles]
    n = len(doubles[0])
    count = min(k, n)
    matrices = []
    for w, d in zip(doubles, degree, strict=True):
        root = np.sqrt(np.abs(d))
        matrix = w / root[:, None] / root[None, :]
        matrices.append((matrix + matrix.T) / 2)
    chosen = solver
    if solver == "auto":
        chosen = "batched" if device != "cpu" else ("dense" if n < DENSE_BELOW else "iterative")
    if chosen == "batched":
        tops, vectors = largest_batched(np.stack(matrices), k=count, device=device)
        solved = list(zip(tops, vectors, strict=True))
    elif chosen == "dense":
        solved = [largest_dense(matrix, k=count) for matrix in matrices]
    elif chosen == "iterative":
        solved = [
            largest_iterative(matrix, k=count, start_N=np.sqrt(np.abs(d)))
            for matrix, d in zip(matrices, degree, strict=True)
        ]
    else:
        raise ValueError(f"solver: found {solver!r}; auto, dense, iterative or batched is allowed")
    return [
        finish(w, d, top, vectors_KN, k=count) for w, d, (top, vectors_KN) in zip(doubles, degree, solved, strict=True)
    ]


def finish(weights_NN: F64, degree_N: F64, top: F64, vectors_KN: F64, *, k: int) -> Eigenpairs:
    """lambda = 1 - mu, y = D^-1/2 v, null space by components, deterministic signs."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    values = 1.0 - top
    vectors = vectors_KN / np.sqrt(np.abs(degree_N))
    nonnegative = bool((weights_NN >= 0).all())
    components = 1
    if nonnegative:
        values = np.clip(values, 0.0, 2.0)
        connected = np.count_nonzero(values < 1e-9) <= 1
        if not connected:
            components, labels = connected_components(csr_array(weights_NN > 0), directed=False)
        if components > 1:
            null = component_indicators(labels, degree_N, k=k)
            values[: len(null)] = 0.0
            vectors[: len(null)] = null
        elif values[0] < 1e-9:
            values[0] = 0.0
            vectors[0] = 1.0 / np.sqrt(degree_N.sum())
    order = np.argsort(values, kind="stable")
    return Eigenpairs(values[order], fix_signs(vectors[order], trivial_first=nonnegative), components)


def plain_laplacian_eigenpairs(weights_NN: npt.NDArray[np.floating], *, k: int) -> Eigenpairs:
    """The K smallest eigenpairs of D - W, vectors of unit length (DSM with lapnorm off)."""
    from scipy.linalg import eigh

    weights = np.asarray(weights_NN, np.float64)
    count = min(k, len(weights))
    values, vectors = eigh(np.diag(degrees(weights)) - weights, subset_by_index=[0, count - 1])
    return Eigenpairs(values, fix_signs(vectors.T), 1)


def affinity_eigenpairs(weights_NN: npt.NDArray[np.floating], *, k: int) -> Eigenpairs:
    """The K eigenpairs of W that are largest by magnitude, values descending, unit vectors (DSM's `affinity`).

    (The original stores ascending values beside descending vectors; here they belong together.)
    """
    from scipy.linalg import eigh

    values, vectors = eigh(np.asarray(weights_NN, np.float64))
    picked = np.argsort(-np.abs(values), kind="stable")[: min(k, len(values))]
    picked = picked[np.argsort(-values[picked], kind="stable")]
    return Eigenpairs(values[picked], fix_signs(vectors[:, picked].T, trivial_first=False), 1)


def svd_eigenpairs(features_NC: npt.NDArray[np.floating], *, k: int) -> Eigenpairs:
    """Left singular vectors of the features and their singular values, descending (DSM's `affinity_svd`)."""
    left, singular, _ = np.linalg.svd(np.asarray(features_NC, np.float64), full_matrices=False)
    count = min(k, len(singular))
    return Eigenpairs(singular[:count], fix_signs(left[:, :count].T, trivial_first=False), 1)
