"""Eigenpairs of the graph Laplacian, normalised or plain. Letters: B images, N tokens (nodes), K eigenpairs.

A graph is *safely connected* here where float32 can tell its second eigenvalue from 0.
"""

import logging
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from usseg.stages.eigen import lanczos
from usseg.stages.eigen.eigenpairs import Eigenpairs, no_cut
from usseg.stages.eigen.signs import component_indicators, fix_signs
from usseg.stages.eigen.solvers import largest, largest_batched, load_linear_algebra

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger("usseg")
F64 = npt.NDArray[np.float64]
NO_EDGE = 1e-12  # a node of a smaller degree counts as isolated (DSM)
NULL = 1e-9  # an eigenvector of a smaller eigenvalue belongs to the null space
LANCZOS_FROM = 200  # nodes; for fewer nodes LAPACK is as fast
BLOCKS_FROM = 256  # nodes; for fewer nodes torch.linalg.eigh may be as fast on a GPU. This is a guess, not measured
ALMOST_NULL = 1e-4  # float32 cannot tell a smaller second eigenvalue from 0: the graph is not safely connected


def degrees(weights_NN: F64) -> F64:
    """The row sums of the weights, (N,). The degree of an isolated node, below 1e-12, is replaced by 1."""
    sums = weights_NN.sum(axis=1)
    return np.where(sums < NO_EDGE, 1.0, sums)


def laplacian_eigenpairs(
    graphs: "list[npt.NDArray[np.floating]] | Tensor", *, laplacian: str, k: int, solver: str, device: str
) -> list[Eigenpairs]:
    """The K smallest eigenpairs of several images with the same number of tokens.

    Args:
        graphs: floats (token, token) of each image. For the normalised Laplacian on a GPU also one float32 tensor
            (image, token, token) on that GPU.
        laplacian: `normalized` or `plain`.
        k, solver, device: as in `normalized_laplacian_eigenpairs` and `plain_laplacian_eigenpairs`.
    """
    if laplacian == "plain":
        return [plain_laplacian_eigenpairs(weights, k=k, solver=solver, device=device) for weights in graphs]
    return normalized_laplacian_batch(graphs, k=k, solver=solver, device=device)


def normalized_laplacian_eigenpairs(
    weights_NN: npt.NDArray[np.floating], *, k: int, solver: str = "auto", device: str = "cpu"
) -> Eigenpairs:
    """The K smallest eigenpairs of (D - W) y = lambda D y.

    The function solves for the largest eigenvalues mu of S = D^-1/2 W D^-1/2, and lambda = 1 - mu. This avoids a
    shift-invert step on a singular matrix.

    The solvers `lanczos` and `block_lanczos` compute in float32, all others in float64. On a CPU `auto` takes
    `lanczos` from 200 nodes on. On a GPU `auto` takes `block_lanczos` from 256 nodes on. Their eigenvalues are within
    1e-6 (1e-5 for `binary` graphs). The angle between their space of K eigenvectors and the exact one is at most 1e-6
    / (the gap after eigenvalue K), in rad.

    Args:
        weights_NN: floats (token, token), symmetric. Negative weights are allowed (`threshold: false`).
        k: number of eigenpairs; min(k, N) are returned.
        solver: `dense`, `iterative`, `batched` (torch.linalg.eigh on `device`), `lanczos`, `block_lanczos` (torch on
            `device`) or `auto`. Where `lanczos` or `block_lanczos` does not converge, or the graph is not safely
            connected, a float64 solver is used instead.
        device: for `batched` and `block_lanczos`.

    Returns:
        Eigenvalues in [0, 2], ascending. Eigenvectors Y (K, N) with Y D Y^T = 1; row 0 is the trivial eigenvector. For
        a disconnected graph the first rows span the indicators of its connected components.

    Source: DSM, equation 3; Shi and Malik, Normalized Cuts.
    """
    return normalized_laplacian_batch([weights_NN], k=k, solver=solver, device=device)[0]


def normalized_laplacian_batch(
    weights: "list[npt.NDArray[np.floating]] | Tensor", *, k: int, solver: str = "auto", device: str = "cpu"
) -> list[Eigenpairs]:
    """`normalized_laplacian_eigenpairs` of several images with the same number of tokens, in one call on a GPU.

    A float32 tensor (image, token, token) on the GPU is not copied.
    """
    n = len(weights[0])
    if solver == "auto" and device != "cpu":
        solver = "block_lanczos" if n >= BLOCKS_FROM else "batched"
    elif solver == "auto" and n >= LANCZOS_FROM:
        solver = "lanczos"
    if solver in ("batched", "block_lanczos"):
        import torch

        if device != "cpu":
            load_linear_algebra(device)
        tensor = torch.from_numpy(np.stack(weights)).to(device) if isinstance(weights, list) else weights
        return by_block_lanczos(tensor, k=k) if solver == "block_lanczos" else by_eigh(tensor, k=k)
    graphs = weights if isinstance(weights, list) else list(weights.cpu().numpy())
    if solver == "lanczos":
        return [by_lanczos(w, k=k) or by_float64(w, k=k, solver="auto") for w in graphs]
    return [by_float64(w, k=k, solver=solver) for w in graphs]


def by_lanczos(weights_NN: npt.NDArray[np.floating], *, k: int) -> Eigenpairs | None:
    """Solve one graph by the Lanczos iteration in float32.

    Returns None where the iteration does not converge, where k is above N / 4, where a node is isolated, or where the
    graph is not safely connected.
    """
    weights = np.ascontiguousarray(weights_NN, np.float32)
    degree = weights @ np.ones(len(weights), np.float32)
    if not 1 < k <= len(weights) / 4 or degree.min() < NO_EDGE:
        return None
    top = lanczos.top_of_graph(weights, degree, k=k)
    if top is None:
        return None
    return connected_pairs(*top, degree, nonnegative=bool(weights.min() >= 0))


def by_block_lanczos(weights_BNN: "Tensor", *, k: int) -> list[Eigenpairs]:
    """Solve all graphs at once by the block Lanczos iteration in float32.

    `by_eigh` solves the graphs that are not safely connected, too small for k, or not converged. The log states their
    number.
    """
    from usseg.stages.eigen import block_lanczos

    weights = weights_BNN.float()
    degree = weights.sum(dim=2)
    suited = (degree.amin(dim=1) >= NO_EDGE) & (1 < k <= weights.shape[1] / 4)
    rows = suited.nonzero()[:, 0].tolist()
    solved: dict[int, Eigenpairs] = {}
    if rows:
        part = weights if len(rows) == len(weights) else weights[rows]
        values, vectors, converged = block_lanczos.top_of_graphs(part, degree[rows], k=k)
        nonnegative = (part.amin(dim=(1, 2)) >= 0).tolist()
        top = zip(values.numpy(), vectors.numpy(), degree[rows].cpu().numpy(), nonnegative, strict=True)
        pairs = [connected_pairs(v, u, d, nonnegative=sign) for v, u, d, sign in top]
        results = zip(rows, pairs, converged.tolist(), strict=True)
        solved = {row: one for row, one, done in results if one is not None and done}
    others = [row for row in range(len(weights)) if row not in solved]
    if others:
        log.info(
            "eigen: torch.linalg.eigh solves %d of %d graphs: "
            "not safely connected, too small for k, or not converged in %d blocks",
            len(others),
            len(weights),
            block_lanczos.MOST_BLOCKS,
        )
        solved |= dict(zip(others, by_eigh(weights_BNN[others], k=k), strict=True))
    return [solved[row] for row in range(len(weights))]


def by_eigh(weights_BNN: "Tensor", *, k: int) -> list[Eigenpairs]:
    """Solve any graphs by torch.linalg.eigh in float64, on the device of the weights (B, N, N)."""
    doubles = weights_BNN.double()
    degree = doubles.sum(dim=2)
    degree = degree.masked_fill(degree < NO_EDGE, 1)
    root = degree.sqrt()
    matrices = doubles / root[:, :, None] / root[:, None, :]
    count = min(k, len(doubles[0]))
    values, vectors = largest_batched((matrices + matrices.mT) / 2, k=count)
    solved = zip(weights_BNN.cpu().numpy(), degree.cpu().numpy(), values, vectors, strict=True)
    return [finish(w, d, top, rows, k=count) for w, d, top, rows in solved]


def connected_pairs(
    top_K: F64, vectors_KN: npt.NDArray[np.float32], degree_N: npt.NDArray[np.float32], *, nonnegative: bool
) -> Eigenpairs | None:
    """Eigenpairs of a connected graph: lambda = 1 - mu and y = D^-1/2 v, D-orthonormal, with deterministic signs.

    Args:
        top_K: mu, float64 (K,), the largest eigenvalues of S, descending.
        vectors_KN: v, float32 (K, N), their eigenvectors.
        degree_N: float32 (N,).
        nonnegative: no weight is negative. The first eigenpair is then replaced by the exact trivial one.

    Returns:
        the eigenpairs; None where more than one eigenvalue is near 0, so that the graph is not safely connected.
    """
    if nonnegative and 1 - top_K[1] < ALMOST_NULL:
        return None
    values, vectors = 1.0 - top_K, vectors_KN.astype(np.float64)
    root = np.sqrt(degree_N.astype(np.float64))
    if nonnegative:
        values = np.clip(values, 0.0, 2.0)
        values[0], vectors[0] = 0.0, root / np.linalg.norm(root)
        vectors[1:] -= np.outer(vectors[1:] @ vectors[0], vectors[0])
    rows = fix_signs(lanczos.orthonormal(vectors) / root, trivial_first=nonnegative)
    return Eigenpairs(values, rows, 1, degenerate=no_cut(values))


def by_float64(weights_NN: npt.NDArray[np.floating], *, k: int, solver: str) -> Eigenpairs:
    """Solve any graph by a float64 solver on the CPU."""
    weights = np.asarray(weights_NN, np.float64)
    degree = degrees(weights)
    root = np.sqrt(degree)
    matrix = weights / root[:, None] / root[None, :]
    count = min(k, len(weights))
    values, vectors = largest([(matrix + matrix.T) / 2], k=count, solver=solver, starts=[root])[0]
    return finish(weights, degree, values, vectors, k=count)


def finish(weights_NN: npt.NDArray[np.floating], degree_N: F64, top: F64, vectors_KN: F64, *, k: int) -> Eigenpairs:
    """Eigenpairs of any graph: lambda = 1 - mu and y = D^-1/2 v, with deterministic signs.

    Where no weight is negative, the null space is replaced by the indicators of the connected components.

    Args:
        weights_NN: floats (N, N).
        degree_N: float64 (N,), 1 for an isolated node.
        top: mu, float64 (k,), the largest eigenvalues of S, descending.
        vectors_KN: v, float64 (k, N), their eigenvectors.
        k: number of eigenpairs.
    """
    values, root = 1.0 - top, np.sqrt(degree_N)
    vectors = vectors_KN / root
    nonnegative = bool((weights_NN >= 0).all())
    components = 1
    if nonnegative:
        values = np.clip(values, 0.0, 2.0)
        small = int(np.count_nonzero(values < NULL))
        labels = component_labels(weights_NN, split=small > 1)
        components = int(labels.max()) + 1
        null = component_indicators(labels, degree_N, k=k)
        small = max(small, len(null))
        values[: len(null)] = 0.0
        # The other eigenvectors of near-zero eigenvalues are made orthogonal to the exact null space.
        rest = vectors[:small] - (vectors[:small] * degree_N) @ null.T @ null
        others = np.linalg.svd(rest * root, full_matrices=False)[2][: small - len(null)] / root
        vectors[:small] = np.concatenate([null, others])
    order = np.argsort(values, kind="stable")
    values, rows = values[order], fix_signs(vectors[order], trivial_first=nonnegative)
    return Eigenpairs(values, rows, components, degenerate=no_cut(values))


def component_labels(weights_NN: npt.NDArray[np.floating], *, split: bool) -> npt.NDArray[np.integer]:
    """The connected component of each node, (N,), from 0; -1 for an isolated node.

    Without `split` all others are component 0.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    labels = np.where(weights_NN.sum(axis=1) < NO_EDGE, -1, 0)
    joined = labels == 0
    if split:
        labels[joined] = connected_components(csr_array(weights_NN[np.ix_(joined, joined)] > 0), directed=False)[1]
    return labels


def plain_laplacian_eigenpairs(
    weights_NN: npt.NDArray[np.floating], *, k: int, solver: str = "auto", device: str = "cpu"
) -> Eigenpairs:
    """The K smallest eigenpairs of D - W: values ascending, eigenvectors (K, N) of unit length, row 0 trivial.

    Source: DSM with `lapnorm` off.
    """
    weights = np.asarray(weights_NN, np.float64)
    degree = degrees(weights)
    top, vectors = largest([weights - np.diag(degree)], k=min(k, len(weights)), solver=solver, device=device)[0]
    degenerate = no_cut(-top, largest_degree=float(degree.max()))
    return Eigenpairs(-top, fix_signs(vectors), 1, degenerate=degenerate)
