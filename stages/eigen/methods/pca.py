"""Cosines of the features, plus the similarities of their principal components.

SimSAM compares its heads with this method.
"""

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.stages.eigen.graph import projected_weights, unit_rows
from usseg.stages.eigen.method import F32, AffinityMethod, TokenBatch, Weights
from usseg.stages.eigen.options import ProjectionOptions


class Options(ProjectionOptions):
    """Options of affinity `pca`."""

    components: int = Field(64, ge=1, le=4096, description="principal directions of the tokens")


def principal_scores(features_NC: npt.NDArray[np.floating], *, components: int = 64) -> F32:
    """The principal scores of centred, unit-length features, float32 (token, component).

    A score is the coordinate along a principal direction. The scores are not whitened. There are at most min(C, N - 1)
    components.
    """
    features = unit_rows(features_NC).astype(np.float64)
    centred = features - features.mean(axis=0)
    count = min(components, len(centred) - 1, centred.shape[1])
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    return (left[:, :count] * singular[:count]).astype(np.float32)


def weights(tokens: TokenBatch, options: Options) -> Weights:
    """max(G - mean G + weight P P^T, 0) divided by its largest entry; P are principal scores."""
    return projected_weights(
        tokens,
        [principal_scores(rows, components=options.components) for rows in tokens.features],
        weight=options.weight,
        offset="mean",
        threshold=options.threshold,
    )


METHOD = AffinityMethod(
    summary="Cosines plus the similarities of each image's principal components.",
    call=weights,
    options=Options,
    source="SimSAM, its comparison with PCA",
)
