"""k-means on the non-trivial eigenvectors (DSM, multi-region segmentation)."""

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.stages.segments.methods import kmeans
from usseg.stages.segments.tokens import ImageTokens

EIGENVECTORS = True
MODEL = False
OBJECTS = False
PAIR_BYTES = 0


class Options(kmeans.Options):
    """Options of method `spectral`."""

    num_eigenvectors: Annotated[int, Field(ge=1, le=4096)] | Literal["segments", "all"] | None = Field(
        None,
        description="used after the trivial one; segments: one less than there are segments; all: all stored (DSM); "
        "null: segments where num_segments is eigengap, else all",
    )


def segment(tokens: ImageTokens, options: Options) -> npt.NDArray[np.int64]:
    """Labels (row, column) from 0; one label where all tokens look alike."""
    if tokens.degenerate:
        return np.zeros(tokens.grid, np.int64)
    return kmeans.token_clusters(tokens.eigenvectors[1 : last_eigenvector(tokens, options)].T, tokens, options)


def last_eigenvector(tokens: ImageTokens, options: Options) -> int | None:
    """The row after the last eigenvector that is read; None: all are.

    The rows after an eigengap are noise: with all of them, k-means no longer finds the segments that the gap counted.
    """
    wanted = options.num_eigenvectors
    if wanted is None:
        wanted = "segments" if tokens.num_segments is None else "all"
    if wanted == "segments":
        return max(2, kmeans.number_of_segments(tokens))
    return None if wanted == "all" else 1 + wanted
