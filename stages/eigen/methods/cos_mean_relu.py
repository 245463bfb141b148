"""Cosines of the features less their mean, cut at zero (SimSAM without heads)."""

from usseg.stages.eigen.graph import cosine_weights
from usseg.stages.eigen.method import AffinityMethod, TokenBatch, Weights
from usseg.stages.eigen.options import CosineOptions


def weights(tokens: TokenBatch, options: CosineOptions) -> Weights:
    """max(G - mean G, 0), divided by its largest entry, with G = F F^T."""
    return cosine_weights(tokens, offset="mean", normalize=options.normalize, threshold=options.threshold)


METHOD = AffinityMethod(
    summary="Cosines of the features less their mean, cut at zero (SimSAM's W_A).",
    call=weights,
    options=CosineOptions,
    source="SimSAM, W_A",
)
