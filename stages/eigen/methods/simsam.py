"""Cosines of the features, plus cosines of projected features.

The projection heads are trained on each image alone (SimSAM).
"""

import logging

import numpy as np
from pydantic import Field

from usseg.pipeline.seeding import image_seed
from usseg.stages.eigen.graph import projected_weights, stacked, unit_rows
from usseg.stages.eigen.method import F32, AffinityMethod, TokenBatch, Weights
from usseg.stages.eigen.methods import simsam_released

log = logging.getLogger("usseg")


class Options(simsam_released.Options):
    """Options of affinity `simsam`."""

    epochs: int = Field(10, ge=1, le=100_000, description="epochs over the tokens of an image")
    lr: float = Field(0.06, gt=0, le=100, description="learning rate of plain gradient descent")
    batch: int | None = Field(
        None, ge=1, le=1_000_000, description="tokens in each step; null: all of them. The released code takes 2"
    )


def projections(tokens: TokenBatch, options: Options) -> list[F32]:
    """The features of every image, projected by its trained heads: float32 (token, component) of unit length.

    The heads of all images are trained at once on the device, each on its own image. The log names the images whose
    heads collapsed.
    """
    import torch

    from usseg.stages.eigen.siamese import collapsed, random_heads, token_orders, token_views, train_heads

    seeds = [image_seed(options.seed, name) for name in tokens.ids]
    rows = stacked([unit_rows(part) for part in tokens.features])
    drawn = [token_views(part, grid, seed=seed) for part, grid, seed in zip(rows, tokens.grids, seeds, strict=True)]
    trained = train_heads(
        np.stack([views for views, _ in drawn], axis=1),
        random_heads(seeds, rows.shape[2], device=tokens.device),
        weights_BN=np.stack([inside for _, inside in drawn]),
        lr=options.lr,
        epochs=options.epochs,
        orders=token_orders(seeds, rows.shape[1], epochs=options.epochs) if options.batch else None,
        batch=options.batch,
    )
    predicted = trained.heads.predict(trained.heads.project(torch.from_numpy(rows).to(tokens.device)))
    for name in np.array(tokens.ids)[collapsed(predicted, np.ones(rows.shape[:2]))]:
        log.warning(
            "eigen: simsam: the heads of %s no longer tell its tokens apart; try fewer epochs or a smaller lr", name
        )
    return [unit_rows(part) for part in predicted.cpu().numpy()]


def weights(tokens: TokenBatch, options: Options) -> Weights:
    """max(G - mean G + weight P P^T, 0) divided by its largest entry; P are the outputs of the trained heads."""
    return projected_weights(
        tokens,
        projections(tokens, options),
        weight=options.weight,
        offset="mean",
        threshold=options.threshold,
    )


METHOD = AffinityMethod(
    summary="Cosines plus cosines of features projected by heads that are trained on each image alone (SimSAM).",
    call=weights,
    options=Options,
    source="SimSAM, W_feat = W_A + kappa W_SA",
)
