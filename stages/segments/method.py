"""What a segmentation method gets, and what it returns. Read this before you write one.

Letters: h rows and w columns of tokens, N = h x w tokens, C channels, K eigenpairs.
"""

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
    """The tokens of one image, N = h x w in row-major order, without padding.

    Attributes:
        grid: (h, w).
        features: float32 (N, C), the output of the backbone, not normalised.
        eigenvalues: float64 (K,), ascending; empty where the method does not read `eigen`.
        eigenvectors: float32 (K, N), row 0 is the trivial eigenvector; no rows where the method does not read `eigen`.
        degenerate: all tokens are equally similar, so that eigenvectors from row 1 on carry no information.
        seed: the seed of this image, for every random number of the method.
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
    """One: for a method that works on any image."""
    return 1


@dataclass(frozen=True)
class SegmentsMethod(Method):
    """The entry of a segmentation method.

    `call(tokens, options)` returns labels, int64 (h, w), 0 or more, with or without gaps. It must return labels for
    every image, also where all tokens are equal. The result depends on the arguments alone.

    Attributes:
        objects: the method itself labels the background 0. Otherwise label 0 is a segment like all others.
        pair_bytes: bytes for every pair of tokens. Images that do not fit into memory are refused before the stage
            starts.
        fewest_tokens: from the options, the number of tokens that an image needs for the requested number of segments.
    """

    call: Callable[[ImageTokens, Any], Labels]
    objects: bool = False
    pair_bytes: int = 0
    fewest_tokens: Callable[[Any], int] = one_token


def reads_eigenvectors(options: Any) -> tuple[str, ...]:
    """Stage eigen: for a method that reads the eigenvectors."""
    return ("eigen",)


def check_laplacian(key: str, found: object, needs: str, sections: Mapping[str, Any]) -> None:
    """Refuse a value that needs the eigenpairs of a Laplacian where the affinity gives other eigenpairs.

    Args:
        key, found: the key and its value.
        needs: why the value needs a Laplacian, for the message.
        sections: the params of every stage by name.

    Raises:
        ParamsError: `eigen.affinity` has no Laplacian.
    """
    eigen = sections["eigen"]
    if not eigen.of_laplacian:
        raise refused(
            key, found, f"{needs}; eigen.affinity: {eigen.affinity} gives none of a Laplacian; take another affinity"
        )
