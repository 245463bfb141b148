"""Eigenpairs of the graph Laplacian, normalised or plain."""

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
NO_EDGE = 1e-12  # degree under which a node counts as isolated (DSM)
NULL = 1e-9  # eigenvalue under which a vector belongs to the null space
LANCZOS_FROM = 200  # nodes under which LAPACK is as fast
BLOCKS_FROM = 256  # nodes under which torch.linalg.eigh may be as fast on a GPU: a guess, unmeasured
ALMOST_NULL = 1e-4  # eigenvalue under which float32 does not tell near from nearer


def degrees(weights_NN: F64) -> F64:
    """Row sums, with 1 in place of what is below 1e-12."""
    sums = weights_NN.sum(axis=1)
    return np.where(sums < NO_EDGE, 1.0, sums)


def laplacian_eigenpairs(
    graphs: "list[npt.NDArray[np.floating]] | Tensor", *, laplacian: str, k: int, solver: str, device: str
) -> list[Eigenpairs]:
    """The K smallest eigenpairs of several images with the same number of tokens.

    Args:
        graphs: floats (token, token) each; for the normalised Laplacian on a GPU also a float32 tensor (image, token, token) there.
        laplacian: `normalized` or `plain`.
        k, solver, device: of the functions for either.
    """
    if laplacian == "plain":
        return [plain_laplacian_eigenpairs(weights, k=k, solver=solver, device=device) for weights in graphs]
    return normalized_laplacian_batch(graphs, k=k, solver=solver, device=device)


def normalized_laplacian_eigenpairs(
    weights_NN: npt.NDArray[np.floating], *, k: int, solver: str = "auto", device: str = "cpu"
) -> Eigenpairs:
    """The K smallest eigenpairs of (D - W) y = lambda D y.

    Solved as the top end of S = D^-1/2 W D^-1/2, lambda = 1 - mu; no shift-invert on a singular matrix. In float64, but for
    `lanczos`, which `auto` takes on a CPU from 200 nodes on, and `block_lanczos`, which it takes elsewhere from 256 on:
    eigenvalues within 1e-6 (`binary` graphs 1e-5), the K-space within 1e-6 / (its gap) rad.

    Args:
        weights_NN: floats (token, token), symmetric; negative entries are allowed (`threshold: false`).
        k: eigenpairs wanted; min(k, N) are returned.
        solver: `dense`, `iterative`, `batched` (torch.linalg.eigh on `device`), `lanczos`, `block_lanczos` (by torch on `device`) or
            `auto`. A graph that is not safely connected, or that does not converge, is solved in float64 instead of by the two.
        device: for `batched` and `block_lanczos`.

    Returns:
        values in [0, 2] ascending; vectors with Y D Y^T = 1. The null space of a disconnected graph is spanned by its components.

    Source: DSM, equation 3; Shi and Malik, Normalized Cuts.
    """
    return normalized_laplacian_batch([weights_NN], k=k, solver=solver, device=device)[0]


def normalized_laplacian_batch(
    weights: "list[npt.NDArray[np.floating]] | Tensor", *, k: int, solver: str = "auto", device: str = "cpu"
) -> list[Eigenpairs]:
    """The same for several images with the same number of tokens; on a GPU one call, and a float32 tensor there saves the copy."""
    n = len(weights[0])
    if solver == "auto" and device != "cpu":
        solver = "block_lanczos" if n >= BLOCKS_FROM else "batched"
    elif solver == "auto" and n >= LANCZOS_FROM:
        solver = "lanczos"
    if solver in ("batched", "block_lanczos"):
        import torch

        if device != "cpu":
            load_linear_algebra(device)
        there = torch.from_numpy(np.stack(weights)).to(device) if isinstance(weights, list) else weights
        return in_blocks(there, k=k) if solver == "block_lanczos" else by_eigh(there, k=k)
    graphs = weights if isinstance(weights, list) else list(weights.cpu().numpy())
    if solver == "lanczos":
        return [in_single(w, k=k) or in_double(w, k=k, solver="auto") for w in graphs]
    return [in_double(w, k=k, solver=solver) for w in graphs]


def in_single(weights_NN: npt.NDArray[np.floating], *, k: int) -> Eigenpairs | None:
    """By Lanczos in float32; None for a graph that it is not made for: isolated nodes, more than one component or nearly so."""
    weights = np.ascontiguousarray(weights_NN, np.float32)
    degree = weights @ np.ones(len(weights), np.float32)
    if not 1 < k <= len(weights) / 4 or degree.min() < NO_EDGE:
        return None
    top = lanczos.top_of_graph(weights, degree, k=k)
    return top and connected_pairs(*top, degree, nonnegative=bool(weights.min() >= 0))


def in_blocks(weights_BNN: "Tensor", *, k: int) -> list[Eigenpairs]:
    """By block Lanczos in float32, all graphs at once; the log tells how many it was not made for: they go to `by_eigh`."""
    from usseg.stages.eigen import block_lanczos

    weights = weights_BNN.float()
    degree = weights.sum(dim=2)
    suited = (degree.amin(dim=1) >= NO_EDGE) & (1 < k <= weights.shape[1] / 4)
    rows = suited.nonzero()[:, 0].tolist()
    found: dict[int, Eigenpairs] = {}
    if rows:
        part = weights if len(rows) == len(weights) else weights[rows]
        values, vectors, settled = block_lanczos.top_of_graphs(part, degree[rows], k=k)
        nonnegative = (part.amin(dim=(1, 2)) >= 0).tolist()
        top = zip(values.numpy(), vectors.numpy(), degree[rows].cpu().numpy(), nonnegative, strict=True)
        solved = [connected_pairs(v, u, d, nonnegative=sign) for v, u, d, sign in top]
        found = {row: pairs for row, pairs, done in zip(rows, solved, settled.tolist(), strict=True) if pairs and done}
    others = [row for row in range(len(weights)) if row not in found]
    if others:
        log.info(
            "eigen: torch.linalg.eigh solves %d of %d graphs: not safely connected, too small for k, or not settled in %d blocks",
            len(others),
            len(weights),
            block_lanczos.MOST_BLOCKS,
        )
        found |= dict(zip(others, by_eigh(weights_BNN[others], k=k), strict=True))
    return [found[row] for row in range(len(weights))]


def by_eigh(weights_BNN: "Tensor", *, k: int) -> list[Eigenpairs]:
    """By torch.linalg.eigh in float64 where the weights are, whatever the graphs."""
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
    """lambda = 1 - mu, y = D^-1/2 v, orthonormal, deterministic signs; None where more than one lambda is near 0."""
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


def in_double(weights_NN: npt.NDArray[np.floating], *, k: int, solver: str) -> Eigenpairs:
    """By a float64 solver on the CPU, whatever the graph."""
    weights = np.asarray(weights_NN, np.float64)
    degree = degrees(weights)
    root = np.sqrt(degree)
    matrix = weights / root[:, None] / root[None, :]
    count = min(k, len(weights))
    values, vectors = largest([(matrix + matrix.T) / 2], k=count, solver=solver, starts=[root])[0]
    return finish(weights, degree, values, vectors, k=count)


def finish(weights_NN: npt.NDArray[np.floating], degree_N: F64, top: F64, vectors_KN: F64, *, k: int) -> Eigenpairs:
    """lambda = 1 - mu, y = D^-1/2 v, null space by components, deterministic signs."""
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
        # What is left of a nearly disconnected graph's smallest vectors, orthogonal to its null space.
        rest = vectors[:small] - (vectors[:small] * degree_N) @ null.T @ null
        others = np.linalg.svd(rest * root, full_matrices=False)[2][: small - len(null)] / root
        vectors[:small] = np.concatenate([null, others])
    order = np.argsort(values, kind="stable")
    values, rows = values[order], fix_signs(vectors[order], trivial_first=nonnegative)
    return Eigenpairs(values, rows, components, degenerate=no_cut(values))


def component_labels(weights_NN: npt.NDArray[np.floating], *, split: bool) -> npt.NDArray[np.integer]:
    """Connected component of each node, (N,), -1 for a node without edges; all 0 unless `split`."""
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
    """The K smallest eigenpairs of D - W, vectors of unit length (DSM with lapnorm off)."""
    weights = np.asarray(weights_NN, np.float64)
    degree = degrees(weights)
    top, vectors = largest([weights - np.diag(degree)], k=min(k, len(weights)), solver=solver, device=device)[0]
    degenerate = no_cut(-top, largest_degree=float(degree.max()))
    return Eigenpairs(-top, fix_signs(vectors), 1, degenerate=degenerate)
