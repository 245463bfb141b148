"""Cosines, plus the similarities of the tokens' first principal scores: what SimSAM's heads are compared with."""

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
    """Scores of unit-length, centred features on their first principal directions, not whitened: float32 (token, component).

    At most as many as there are channels, and tokens less one.
    """
    features = unit_rows(features_NC).astype(np.float64)
    centred = features - features.mean(axis=0)
    count = min(components, len(centred) - 1, centred.shape[1])
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    return (left[:, :count] * singular[:count]).astype(np.float32)


def weights(tokens: TokenBatch, options: Options) -> Weights:
    """max(G - mean G + weight P P^T, 0) over its largest entry; P are principal scores."""
    return projected_weights(
        tokens,
        [principal_scores(rows, components=options.components) for rows in tokens.features],
        weight=options.weight,
        offset="mean",
        threshold=options.threshold,
    )


METHOD = AffinityMethod(
    summary="Cosines plus those of each image's principal scores.",
    call=weights,
    options=Options,
    source="SimSAM, its comparison with PCA",
)
