"""k-means on the non-trivial eigenvectors (DSM, multi-region segmentation)."""

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pipeline.params import Params
from stages.segments.clustering import eigengap_segments, kmeans_labels
from stages.segments.tokens import ImageTokens


class Options(Params):
    """Options of method `spectral`."""

    num_eigenvectors: int | None = Field(
        None, ge=1, description="eigenvectors used after the trivial one; null: all stored"
    )
    n_init: int = Field(10, ge=1, description="k-means starts")


def segment(tokens: ImageTokens, options: Options) -> npt.NDArray[np.int64]:
    """Labels (row, column) from 0; one label where all tokens look alike."""
    h, w = tokens.grid
    if tokens.degenerate:
        return np.zeros((h, w), np.int64)
    last = None if options.num_eigenvectors is None else 1 + options.num_eigenvectors
    points = tokens.eigenvectors[1:last].T
    k = eigengap_segments(tokens.eigenvalues) if tokens.num_segments is None else tokens.num_segments
    return kmeans_labels(points, k=k, seed=tokens.seed, n_init=options.n_init).reshape(h, w)
