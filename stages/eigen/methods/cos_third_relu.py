"""Cosines of the features less a third of the largest, cut at zero (SimSAM's code without heads)."""

from usseg.stages.eigen.graph import cosine_weights
from usseg.stages.eigen.method import AffinityMethod, TokenBatch, Weights
from usseg.stages.eigen.options import CosineOptions


def weights(tokens: TokenBatch, options: CosineOptions) -> Weights:
    """max(G - max(G) / 3, 0), divided by its largest entry, with G = F F^T."""
    return cosine_weights(tokens, offset="third", normalize=options.normalize, threshold=options.threshold)


METHOD = AffinityMethod(
    summary="Cosines of the features less a third of the largest, cut at zero (SimSAM's code).",
    call=weights,
    options=CosineOptions,
    source="SimSAM, released code with alpha = 3",
)
