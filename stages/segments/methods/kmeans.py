"""k-means on the patch features themselves (DSM's `kmeans_baseline`)."""

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.params import Params
from usseg.stages.segments.clustering import eigengap_segments, kmeans_labels
from usseg.stages.segments.tokens import ImageTokens

EIGENVECTORS = False
MODEL = False
OBJECTS = False
PAIR_BYTES = 0


class Options(Params):
    """Options of method `kmeans`."""

    n_init: int = Field(10, ge=1, le=1000, description="k-means starts")
    generations: int = Field(
        0, ge=0, le=1000, description="rounds of search after the starts; 25 find the same segments from any seed"
    )


def number_of_segments(tokens: ImageTokens) -> int:
    """What is asked for, or by the eigengap."""
    return eigengap_segments(tokens.eigenvalues) if tokens.num_segments is None else tokens.num_segments


def token_clusters(points_NC: npt.NDArray[np.floating], tokens: ImageTokens, options: Options) -> npt.NDArray[np.int64]:
    """k-means labels (row, column) of an image's tokens, described by `points_NC`, into its number of segments."""
    labels = kmeans_labels(
        points_NC,
        k=number_of_segments(tokens),
        seed=tokens.seed,
        n_init=options.n_init,
        generations=options.generations,
    )
    return labels.reshape(tokens.grid)


def segment(tokens: ImageTokens, options: Options) -> npt.NDArray[np.int64]:
    """Labels (row, column) from 0."""
    return token_clusters(tokens.features, tokens, options)
