"""Normalised cuts of a token graph into two sides, and the side that is an object (TokenCut, MaskCut).

N tokens, C channels.
"""

import numpy as np
import numpy.typing as npt

from usseg.stages.segments.unit_tokens import unit_tokens

F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
NO_CUT = 1 - 1e-6  # eigenvalue above which all tokens are connected alike, so that no cut means anything
GRAPH_BYTES = 24  # a pair of tokens, with the copies that a cut makes
DENSE_BELOW = 400  # tokens under which LAPACK beats ARPACK


def token_graph(
    features_NC: npt.NDArray[np.floating], *, tau: float = 0.2, eps: float = 1e-5, binary: bool = True
) -> F64:
    """Edge weights between all pairs of tokens, float64 (token, token), the diagonal included.

    1 where the cosine is above tau (in float32, strictly), else eps; with `binary=False` the cosine itself in place of
    1. A zero token has weight eps with all, itself included.

    Source: Wang et al., TokenCut (CVPR 2022), equation 5.
    """
    unit = unit_tokens(np.asarray(features_NC, np.float32))
    cosine = unit @ unit.T
    return np.where(cosine > tau, 1.0 if binary else cosine.astype(np.float64), eps)


def second_eigenpair(weights_NN: F64) -> tuple[float, F64]:
    """The second smallest eigenpair of (D - W) y = lambda D y, N at least 2: its value, and y (N,) with y^T D y = 1.

    The sign is such that the entry largest by magnitude is positive (the first of equals).
    """
    from scipy.sparse.linalg import LinearOperator, eigsh

    n = len(weights_NN)
    degrees = weights_NN.sum(axis=1)
    root = np.sqrt(degrees)
    matrix = weights_NN / root[:, None]
    matrix /= root
    if n < DENSE_BELOW:
        # The whole spectrum: LAPACK's routine for a part of it may return nothing where eigenvalues are equal.
        values, vectors = np.linalg.eigh(matrix)
        value, vector = float(values[-2]), vectors[:, -2]
    else:
        # The largest pair is known: what is left of the matrix beside it has the wanted one on top.
        top = root / np.linalg.norm(root)
        rest = LinearOperator((n, n), matvec=lambda x: matrix @ x - 2 * (top @ x) * top, dtype=np.float64)
        rng = np.random.default_rng(0)
        values, vectors = eigsh(rest, k=1, which="LA", v0=rng.standard_normal(n), ncv=40, tol=0, rng=rng)
        value, vector = float(values[0]), vectors[:, 0]
    vector = vector / root
    return 1.0 - value, -vector if vector[leader(np.abs(vector))] < 0 else vector


def leader(values_N: F64) -> int:
    """The first token whose value is the largest, up to rounding."""
    return int(np.argmax(values_N >= values_N.max() - 1e-9 * np.abs(values_N[np.isfinite(values_N)]).max()))


def component_of(mask_hw: Mask, seed: int) -> Mask:
    """The 4-connected piece of a mask that holds a token (row-major index); empty where the mask leaves it out."""
    from scipy.ndimage import label

    pieces, _ = label(mask_hw)
    piece = pieces.reshape(-1)[seed]
    return np.asarray((pieces == piece) & mask_hw)


def seeded_side(vector_N: npt.NDArray[np.floating], grid: tuple[int, int]) -> tuple[Mask, int]:
    """The side of the mean that holds the token largest by magnitude: bool (row, column), and that token.

    Any sign gives the same.

    Source: TokenCut, section 3.2.
    """
    side = vector_N > vector_N.mean()
    seed = leader(np.abs(vector_N))
    return (side if side[seed] else ~side).reshape(grid), seed


def cornered_side(
    vector_N: npt.NDArray[np.floating], grid: tuple[int, int], *, free_N: Mask | None = None
) -> tuple[Mask, int]:
    """The side of the mean that is the object: not the one with 3 corners of the grid or more, else as `seeded_side`.

    The result depends on the sign of the vector where three corners lie on the positive side; `second_eigenpair`
    settles it.

    Args:
        vector_N: a value a token.
        grid: rows and columns.
        free_N: tokens that take part; None: all. The others belong to neither side.

    Returns:
        bool (row, column); the token of that side with the largest value of the vector, negated where the side is.

    Source: Wang et al., CutLER (CVPR 2023), MaskCut.
    """
    free = np.ones(len(vector_N), np.bool_) if free_N is None else free_N
    side = vector_N > vector_N[free].mean()
    corners = (side & free).reshape(grid)[[0, 0, -1, -1], [0, -1, 0, -1]]
    flip = corners.sum() >= 3 or not side[leader(np.where(free, np.abs(vector_N), -np.inf))]
    signed = -vector_N if flip else vector_N
    chosen = (~side if flip else side) & free
    return chosen.reshape(grid), leader(np.where(free, signed, -np.inf))
