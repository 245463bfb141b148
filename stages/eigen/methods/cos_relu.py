"""Cosines of the features, cut at zero (DSM)."""

from usseg.stages.eigen.graph import cosine_weights
from usseg.stages.eigen.method import AffinityMethod, TokenBatch, Weights
from usseg.stages.eigen.options import CosineOptions


def weights(tokens: TokenBatch, options: CosineOptions) -> Weights:
    """max(G, 0), divided by its largest entry, with G = F F^T."""
    return cosine_weights(tokens, offset="none", normalize=options.normalize, threshold=options.threshold)


METHOD = AffinityMethod(
    summary="Cosines of the features, cut at zero (DSM).",
    call=weights,
    options=CosineOptions,
    source="Melas-Kyriazi et al., Deep Spectral Methods (CVPR 2022), section 3.2",
)
