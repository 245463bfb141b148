"""Cosines of the features, plus similarities of randomly projected features (SimSAM's code, which trains nothing)."""

from usseg.pipeline.params import Seed
from usseg.pipeline.seeding import image_seed
from usseg.stages.eigen.graph import projected_weights, stacked, unit_rows
from usseg.stages.eigen.method import AffinityMethod, TokenBatch, Weights
from usseg.stages.eigen.options import ProjectionOptions


class Options(ProjectionOptions):
    """Options of affinity `simsam_released`."""

    seed: Seed = 0


def weights(tokens: TokenBatch, options: Options) -> Weights:
    """max(G - max(G) / 3 + weight P P^T, 0), divided by its largest entry.

    P are the unit-length features after a random linear layer.
    """
    import torch

    from usseg.stages.eigen.siamese import random_heads

    seeds = [image_seed(options.seed, name) for name in tokens.ids]
    rows = torch.from_numpy(stacked([unit_rows(part) for part in tokens.features])).to(tokens.device)
    predicted = random_heads(seeds, rows.shape[2], device=tokens.device).predict(rows)
    return projected_weights(
        tokens,
        list(predicted.cpu().numpy()),
        weight=options.weight,
        offset="third",
        threshold=options.threshold,
    )


METHOD = AffinityMethod(
    summary="Cosines plus similarities of features projected by an untrained head (SimSAM's code).",
    call=weights,
    options=Options,
    source="SimSAM, released code",
)
