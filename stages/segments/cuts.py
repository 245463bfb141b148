"""Normalised cuts of a token graph into two sides, and the side that is an object (TokenCut, MaskCut).

N tokens, C channels.
"""

import numpy as np
import numpy.typing as npt

from usseg.stages.segments.unit_tokens import unit_tokens

F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
NO_CUT = 1 - 1e-6  # a second eigenvalue above this: all tokens are equally similar, and no cut exists
GRAPH_BYTES = 24  # bytes for each pair of tokens, with the copies that a cut makes
DENSE_BELOW = 400  # tokens; for smaller graphs LAPACK is faster than ARPACK


def token_graph(
    features_NC: npt.NDArray[np.floating], *, tau: float = 0.2, eps: float = 1e-5, binary: bool = True
) -> F64:
    """The weights between all pairs of tokens, float64 (token, token), the diagonal included.

    A weight is 1 where the cosine, in float32, is above tau, and eps elsewhere. With `binary=False` it is the cosine
    instead of 1. A zero token has weight eps to all tokens, itself included.

    Source: Wang et al., TokenCut (CVPR 2022), equation 5.
    """
    unit = unit_tokens(np.asarray(features_NC, np.float32))
    cosine = unit @ unit.T
    return np.where(cosine > tau, 1.0 if binary else cosine.astype(np.float64), eps)


def second_eigenpair(weights_NN: F64) -> tuple[float, F64]:
    """The second smallest eigenpair of (D - W) y = lambda D y: lambda, and y (N,) with y^T D y = 1. N is at least 2.

    The entry of y with the largest magnitude is positive; of equally large entries the first counts.
    """
    from scipy.sparse.linalg import LinearOperator, eigsh

    n = len(weights_NN)
    degrees = weights_NN.sum(axis=1)
    root = np.sqrt(degrees)
    matrix = weights_NN / root[:, None]
    matrix /= root
    if n < DENSE_BELOW:
        # All eigenpairs: LAPACK's routine for some of them may return none where eigenvalues are equal.
        values, vectors = np.linalg.eigh(matrix)
        value, vector = float(values[-2]), vectors[:, -2]
    else:
        # The largest eigenpair is known. After it is subtracted, the wanted eigenpair is the largest one.
        top = root / np.linalg.norm(root)
        deflated = LinearOperator((n, n), matvec=lambda x: matrix @ x - 2 * (top @ x) * top, dtype=np.float64)
        rng = np.random.default_rng(0)
        values, vectors = eigsh(deflated, k=1, which="LA", v0=rng.standard_normal(n), ncv=40, tol=0, rng=rng)
        value, vector = float(values[0]), vectors[:, 0]
    vector = vector / root
    return 1.0 - value, -vector if vector[leader(np.abs(vector))] < 0 else vector


def leader(values_N: F64) -> int:
    """The index of the token with the largest value. Among values that are equal up to rounding the first counts."""
    return int(np.argmax(values_N >= values_N.max() - 1e-9 * np.abs(values_N[np.isfinite(values_N)]).max()))


def component_of(mask_hw: Mask, seed: int) -> Mask:
    """The 4-connected component of a mask that contains a token: bool (h, w).

    It is empty where the token is not in the mask.

    Args:
        mask_hw: bool (row, column).
        seed: row-major index of the token.
    """
    from scipy.ndimage import label

    components, _ = label(mask_hw)
    component = components.reshape(-1)[seed]
    return np.asarray((components == component) & mask_hw)


def seeded_side(vector_N: npt.NDArray[np.floating], grid: tuple[int, int]) -> tuple[Mask, int]:
    """The side of a cut at the mean that contains the seed, the token with the value of the largest magnitude.

    The sign of the vector does not matter.

    Returns:
        the side, bool (row, column), and the row-major index of the seed.

    Source: TokenCut, section 3.2.
    """
    side = vector_N > vector_N.mean()
    seed = leader(np.abs(vector_N))
    return (side if side[seed] else ~side).reshape(grid), seed


def cornered_side(
    vector_N: npt.NDArray[np.floating], grid: tuple[int, int], *, free_N: Mask | None = None
) -> tuple[Mask, int]:
    """The side of a cut at the mean that is the object.

    It is the side of `seeded_side`, unless the side above the mean contains three or four corners of the grid: then it
    is the side below the mean. The result may therefore depend on the sign of the vector. `second_eigenpair` fixes
    this sign.

    Args:
        vector_N: floats (token,), an eigenvector.
        grid: rows and columns.
        free_N: bool (token,), the tokens that take part; None: all. The other tokens belong to neither side.

    Returns:
        The object, bool (row, column). The row-major index of its seed: the token of the largest value, or of the
        smallest value where the object is the side below the mean.

    Source: Wang et al., CutLER (CVPR 2023), MaskCut.
    """
    free = np.ones(len(vector_N), np.bool_) if free_N is None else free_N
    side = vector_N > vector_N[free].mean()
    corners = (side & free).reshape(grid)[[0, 0, -1, -1], [0, -1, 0, -1]]
    flip = corners.sum() >= 3 or not side[leader(np.where(free, np.abs(vector_N), -np.inf))]
    signed = -vector_N if flip else vector_N
    chosen = (~side if flip else side) & free
    return chosen.reshape(grid), leader(np.where(free, signed, -np.inf))
