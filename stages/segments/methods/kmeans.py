"""k-means on the patch features themselves (DSM's `kmeans_baseline`)."""

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pipeline.params import Params
from stages.segments.clustering import eigengap_segments, kmeans_labels
from stages.segments.tokens import ImageTokens


class Options(Params):
    """Options of method `kmeans`."""

    n_init: int = Field(10, ge=1, description="k-means starts")


def segment(tokens: ImageTokens, options: Options) -> npt.NDArray[np.int64]:
    """Labels (row, column) from 0."""
    k = eigengap_segments(tokens.eigenvalues) if tokens.num_segments is None else tokens.num_segments
    labels = kmeans_labels(tokens.features, k=k, seed=tokens.seed, n_init=options.n_init)
    return labels.reshape(tokens.grid)
