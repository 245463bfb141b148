"""k-means on the non-trivial eigenvectors (DSM, multi-region segmentation)."""

import numpy as np
import numpy.typing as npt
from pydantic import Field

from stages.segments.methods import kmeans
from stages.segments.tokens import ImageTokens

EIGENVECTORS = True
OBJECTS = False
PAIR_BYTES = 0


class Options(kmeans.Options):
    """Options of method `spectral`."""

    num_eigenvectors: int | None = Field(
        None, ge=1, description="eigenvectors used after the trivial one; null: all stored"
    )


def segment(tokens: ImageTokens, options: Options) -> npt.NDArray[np.int64]:
    """Labels (row, column) from 0; one label where all tokens look alike."""
    if tokens.degenerate:
        return np.zeros(tokens.grid, np.int64)
    last = None if options.num_eigenvectors is None else 1 + options.num_eigenvectors
    return kmeans.token_clusters(tokens.eigenvectors[1:last].T, tokens, options)
