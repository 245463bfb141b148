"""What a segmentation method gets, and what it returns: read this before you write one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.methods import Method
from usseg.pipeline.params import refused

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ImageTokens:
    """One image of h x w = N tokens, row by row, with C channels each. Nothing in here is padded.

    Attributes:
        grid: (h, w).
        features: float32 (N, C), as the backbone gives them, not normalised.
        eigenvalues: float64 (K,), ascending; empty where the method does not read `eigen`.
        eigenvectors: float32 (K, N), row 0 is the trivial one; no rows where the method does not read `eigen`.
        degenerate: all tokens look alike, so that eigenvectors from row 1 on mean nothing.
        seed: of this image, for every random number of the method.
        trained_labels: int64 (N,) from the trained segmenter; empty where the method does not read `segmenter`.
    """

    grid: tuple[int, int]
    features: npt.NDArray[np.float32]
    eigenvalues: npt.NDArray[np.float64]
    eigenvectors: npt.NDArray[np.float32]
    degenerate: bool
    seed: int
    trained_labels: Labels


def one_token(options: Any) -> int:
    """A method that works on any image."""
    return 1


@dataclass(frozen=True)
class SegmentsMethod(Method):
    """The entry of a segmentation method.

    `call(tokens, options)` returns int64 labels (h, w), at least 0; they need not be dense. It must return something
    for every image, also where all tokens look alike. What it returns depends on its arguments alone.

    Attributes:
        objects: label 0 is the background already. Otherwise label 0 is one label of many.
        pair_bytes: memory for every pair of tokens, to refuse images that do not fit before anything runs.
        fewest_tokens: from the options, the tokens that an image needs for as many segments as were asked for.
    """

    call: Callable[[ImageTokens, Any], Labels]
    objects: bool = False
    pair_bytes: int = 0
    fewest_tokens: Callable[[Any], int] = one_token


def reads_eigenvectors(options: Any) -> tuple[str, ...]:
    """A method of the eigenvectors."""
    return ("eigen",)


def check_laplacian(key: str, found: object, needs: str, sections: Mapping[str, Any]) -> None:
    """Refuse a value that needs the eigenpairs of a Laplacian where the affinity gives none."""
    eigen = sections["eigen"]
    if not eigen.of_laplacian:
        raise refused(
            key, found, f"{needs}; eigen.affinity: {eigen.affinity} gives none of a Laplacian; take another affinity"
        )
