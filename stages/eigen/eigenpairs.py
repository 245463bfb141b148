"""The eigenpairs of one image, and whether they carry information. Letters: K eigenpairs, N tokens."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
ALIKE = 1 - 1e-6  # a second eigenvalue above this share of the largest degree: all tokens are equally similar


@dataclass(frozen=True)
class Eigenpairs:
    """The eigenpairs of one image.

    Attributes:
        values: float64 (K,), K at least 1: ascending for a Laplacian, descending otherwise.
        vectors: floats (K, N), one eigenvector a row. For a Laplacian row 0 is the trivial eigenvector.
        components: number of connected components of the graph, without isolated nodes; 1 where they are not counted.
        degenerate: all tokens are equally similar, so that the rows from 1 on carry no information.
    """

    values: F64
    vectors: F64
    components: int
    degenerate: bool


def no_cut(values_K: F64, *, largest_degree: float = 1.0) -> bool:
    """Whether the second smallest eigenvalue of a Laplacian shows that all tokens are equally similar.

    True for one eigenvalue.

    Args:
        values_K: float64 (K,), ascending.
        largest_degree: the largest degree of a node where the Laplacian is not normalised; 1 where it is.
    """
    return len(values_K) < 2 or bool(values_K[1] > ALIKE * largest_degree)


def one_direction(sizes_K: F64) -> bool:
    """Whether the second largest of K sizes is negligible against the largest one. True for one size."""
    ordered = np.sort(sizes_K)[::-1]
    return len(ordered) < 2 or bool(ordered[1] <= (1 - ALIKE) * ordered[0])
