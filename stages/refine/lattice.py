"""Gaussian filtering in many dimensions on the permutohedral lattice.

Letters: P points, d dimensions, D = d + 1, V lattice points, C channels.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
CHUNK = 1 << 16  # points whose simplex is computed at a time


@dataclass(frozen=True)
class Lattice:
    """A permutohedral lattice that holds P points.

    Attributes:
        weights: sparse (P, V), the barycentric weights of each point in the d + 1 corners of its simplex.
        neighbours: int64 (d + 1, 2, V), the two neighbours of each lattice point along each axis; V where there is
            none.
    """

    weights: Any
    neighbours: npt.NDArray[np.int64]

    def filter(self, values_PC: F32) -> F32:
        """Filter values (P, C) with the Gaussian kernel: float32 (P, C).

        The result for a point is the sum of exp(-|difference|^2 / 2) times the value over all points. It is
        approximate and holds up to a constant factor.
        """
        nodes = np.zeros((self.neighbours.shape[2] + 1, values_PC.shape[1]), np.float32)
        nodes[:-1] = self.weights.T @ values_PC
        for before, after in self.neighbours:
            nodes[:-1] += np.float32(0.5) * (nodes[before] + nodes[after])
        scale = np.float32(1 / (1 + 2.0 ** -(len(self.neighbours) - 1)))
        return np.asarray(self.weights @ nodes[:-1], np.float32) * scale


def lattice_of(points_Pd: npt.NDArray[np.floating]) -> Lattice:
    """The lattice of points (P, d). The coordinates must be divided by the standard deviations of the Gaussian.

    Raises:
        ValueError: the points spread over so many standard deviations that 62 bits cannot number the lattice points.

    Source: Adams et al., Fast High-Dimensional Filtering Using the Permutohedral Lattice (Eurographics 2010).
    """
    from scipy import sparse

    count, dims = points_Pd.shape
    shares = np.empty((count, dims + 1), np.float32)
    codes = np.empty((count, dims + 1), np.int64)
    parts = [slice(start, start + CHUNK) for start in range(0, count, CHUNK)]
    for part in parts:
        codes[part], shares[part] = simplices(points_Pd[part])
    known = np.unique(np.concatenate([np.unique(codes[part]) for part in parts]))
    index = np.empty((count, dims + 1), np.int32)
    for part in parts:
        index[part] = np.searchsorted(known, codes[part])
    ends = np.arange(0, count * (dims + 1) + 1, dims + 1, dtype=np.int32)
    weights = sparse.csr_array((shares.reshape(-1), index.reshape(-1), ends), shape=(count, len(known)))
    neighbours = np.empty((dims + 1, 2, len(known)), np.int64)
    steps = 1 << (62 // dims * np.arange(dims))
    for axis in range(dims + 1):
        offset = -np.ones(dims, np.int64)
        if axis < dims:
            offset[axis] = dims
        for side, sign in enumerate((1, -1)):
            wanted = known + sign * int(offset @ steps)
            position = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
            neighbours[axis, side] = np.where(known[position] == wanted, position, len(known))
    return Lattice(weights, neighbours)


def simplices(points_Pd: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.int64], F32]:
    """The codes, int64 (P, d + 1), and barycentric weights, float32 (P, d + 1), of the corners around each point.

    The corners are those of the simplex of the lattice that contains the point.

    A code is a number for a lattice point. Equal lattice points have equal codes.
    """
    dims = points_Pd.shape[1]
    lifted = lift(np.asarray(points_Pd, np.float64))
    corner, rank = nearest_corner(lifted)
    # Barycentric coordinates are the gaps between the differences to the corner, in descending order.
    ordered = np.sort((lifted - corner) / (dims + 1), axis=1)
    gaps = np.diff(ordered, axis=1)
    shares = np.concatenate([1.0 + ordered[:, :1] - ordered[:, -1:], gaps], axis=1)
    bits = 62 // dims
    if np.abs(corner).max() >= 2.0 ** (bits - 1) - 3 * (dims + 1):
        raise ValueError("lattice: found points over too many standard deviations; larger ones are needed")
    steps = 1 << (bits * np.arange(dims))
    origin, rank = corner.astype(np.int64)[:, :dims] + (1 << (bits - 1)), rank[:, :dims]
    codes = np.empty((len(corner), dims + 1), np.int64)
    for remainder in range(dims + 1):
        # The corner of this remainder: r added to coordinates of low rank, r - (d + 1) to the others.
        shift = np.where(rank <= dims - remainder, remainder, remainder - (dims + 1))
        codes[:, remainder] = (origin + shift) @ steps
    return codes, shares.astype(np.float32)


def lift(points_Pd: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Map points to the plane of coordinates that sum to 0: (P, d + 1), scaled so that the blur has unit variance."""
    dims = points_Pd.shape[1]
    order = np.arange(1, dims + 1)
    scaled = points_Pd * (np.sqrt(2 / 3) * (dims + 1) / np.sqrt(order * (order + 1)))
    # Coordinate j of the result: the sum of the coordinates after j, minus j times coordinate j.
    sums_after = np.concatenate([np.cumsum(scaled[:, ::-1], axis=1)[:, ::-1], np.zeros((len(scaled), 1))], axis=1)
    lifted = sums_after.copy()
    lifted[:, 1:] -= order * scaled
    return lifted


def nearest_corner(
    lifted_PD: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The corner of remainder 0 of the simplex of each point, float64 (P, D), and ranks, int64 (P, D).

    The rank of a coordinate is its place in the descending order of the differences between the point and the corner,
    from 0.
    """
    size = lifted_PD.shape[1]
    corner = np.rint(lifted_PD / size) * size
    excess = np.rint(corner.sum(axis=1, keepdims=True) / size).astype(np.int64)
    order = np.argsort(-(lifted_PD - corner), axis=1, kind="stable")
    rank = np.empty(order.shape, np.int64)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(size), order.shape), axis=1)
    rank += excess
    corner = corner + size * (rank < 0) - size * (rank >= size)
    return corner, rank % size
