"""The eigenpairs of one image, and whether they mean anything. K pairs, N tokens."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
ALIKE = 1 - 1e-6  # a second eigenvalue above this share of the largest degree means that all tokens look alike


@dataclass(frozen=True)
class Eigenpairs:
    """What is stored of an image.

    Attributes:
        values: float64 (K,), at least one. Ascending where they are those of a Laplacian, else descending.
        vectors: floats (K, N). Of a Laplacian row 0 is the trivial one.
        components: connected components of the graph, nodes without edges left out; 1 where it was not counted.
        degenerate: all tokens look alike, so that rows from 1 on mean nothing.
    """

    values: F64
    vectors: F64
    components: int
    degenerate: bool


def no_cut(values_K: F64, *, largest_degree: float = 1.0) -> bool:
    """Whether a Laplacian's second smallest eigenvalue says that all tokens look alike; also where there is no second one.

    Args:
        values_K: ascending.
        largest_degree: of the nodes, where the Laplacian is not normalised.
    """
    return len(values_K) < 2 or bool(values_K[1] > ALIKE * largest_degree)


def one_direction(sizes_K: F64) -> bool:
    """Whether the second largest of these is nothing beside the largest; also where there is no second one."""
    ordered = np.sort(sizes_K)[::-1]
    return len(ordered) < 2 or bool(ordered[1] <= (1 - ALIKE) * ordered[0])
