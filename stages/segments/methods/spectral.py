"""k-means on the non-trivial eigenvectors (DSM, multi-region segmentation)."""

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from stages.segments.methods import kmeans
from stages.segments.tokens import ImageTokens

EIGENVECTORS = True
MODEL = False
OBJECTS = False
PAIR_BYTES = 0


class Options(kmeans.Options):
    """Options of method `spectral`."""

    num_eigenvectors: Annotated[int, Field(ge=1)] | Literal["segments"] | None = Field(
        None,
        description="used after the trivial one; segments: one less than there are segments; null: all stored (DSM)",
    )


def segment(tokens: ImageTokens, options: Options) -> npt.NDArray[np.int64]:
    """Labels (row, column) from 0; one label where all tokens look alike."""
    if tokens.degenerate:
        return np.zeros(tokens.grid, np.int64)
    if options.num_eigenvectors == "segments":
        last: int | None = max(2, kmeans.number_of_segments(tokens))
    else:
        last = None if options.num_eigenvectors is None else 1 + options.num_eigenvectors
    return kmeans.token_clusters(tokens.eigenvectors[1:last].T, tokens, options)
