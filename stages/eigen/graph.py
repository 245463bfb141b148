"""Patch features -> the weights of a graph.

Letters: B images with equally many tokens, N tokens, C channels, P components of a projection.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from usseg.stages.eigen.method import F32, TokenBatch, Weights

if TYPE_CHECKING:
    from torch import Tensor

# What is subtracted from the similarities of an image: nothing, their mean, or a third of the largest one.
Offset = Literal["none", "mean", "third"]
OFFSETS = ("none", "mean", "third")
ROWS = 64  # rows that are cut at zero and scaled at a time, so that they stay in the cache of the CPU
ROUNDING = 1e-6  # below this share of the largest similarity, the rest after the offset is a rounding error


def unit_rows(features_NC: npt.NDArray[np.floating]) -> F32:
    """Scale rows to unit length: float32 (N, C). A zero row stays zero."""
    features = np.asarray(features_NC, np.float32)
    norms = np.sqrt(np.vecdot(features, features))[:, None]
    return features / np.maximum(norms, np.float32(1e-12))


def unit_vectors(features_BNC: "Tensor") -> "Tensor":
    """`unit_rows` of a batch by torch: (B, N, C) on the same device."""
    return features_BNC / features_BNC.norm(dim=2, keepdim=True).clamp(min=1e-12)


def similarities(features_NC: npt.NDArray[np.floating], *, normalize: bool) -> F32:
    """The similarities G = F F^T, float32 (token, token). With `normalize` the rows are scaled to unit length first."""
    features = unit_rows(features_NC) if normalize else np.asarray(features_NC, np.float32)
    gram: F32 = features @ features.T
    return gram


def offset_of(gram_NN: F32, offset: Offset) -> np.float32:
    """The number that is subtracted from the similarities (token, token) of an image.

    Raises:
        ValueError: the offset is unknown.
    """
    if offset == "mean":
        return gram_NN.mean(dtype=np.float64).astype(np.float32)
    if offset == "third":
        return np.float32(gram_NN.max() / np.float32(3))
    if offset != "none":
        raise ValueError(f"offset: found {offset!r}; {', '.join(OFFSETS)} are allowed")
    return np.float32(0)


def feature_affinity(
    features_NC: npt.NDArray[np.floating], *, offset: Offset = "none", normalize: bool = True, threshold: bool = True
) -> F32:
    """The affinity between all pairs of tokens: max(G - offset, 0) divided by its largest entry, with G = F F^T.

    Args:
        features_NC: floats (token, channel).
        offset: `none` (DSM), `mean` of G (SimSAM, W_A) or `third` of its largest entry (SimSAM's code).
        normalize: scale rows to unit length first.
        threshold: set negative weights to 0.

    Returns:
        float32 (token, token), symmetric, largest entry 1; all 0 where no pair of tokens is similar.
    """
    gram = similarities(features_NC, normalize=normalize)
    similar, subtracted = gram.max(), offset_of(gram, offset)
    largest = similar - subtracted
    if largest <= ROUNDING * similar or largest <= 0:
        return np.zeros_like(gram)
    # np.maximum of two arrays is several times faster than np.maximum of an array and a number.
    zeros = np.zeros((ROWS, len(gram)), np.float32)
    for start in range(0, len(gram), ROWS):
        rows = gram[start : start + ROWS]
        if subtracted:
            rows -= subtracted
        if threshold:
            np.maximum(rows, zeros[: len(rows)], out=rows)
        rows /= largest
    return gram


def binary_affinity(
    features_NC: npt.NDArray[np.floating], *, tau: float = 0.2, eps: float = 1e-5, normalize: bool = True
) -> F32:
    """The weight 1 where the similarity G is above tau, else eps: float32 (token, token).

    Source: Wang et al., TokenCut (CVPR 2022), equation 5.
    """
    gram = similarities(features_NC, normalize=normalize)
    return np.where(gram > tau, np.float32(1), np.float32(eps))


def projected_affinity(
    features_NC: npt.NDArray[np.floating],
    projected_NP: npt.NDArray[np.floating],
    *,
    weight: float = 0.1,
    offset: Offset = "mean",
    threshold: bool = True,
) -> F32:
    """The affinity of features and of their projection P: max(G - offset + weight P P^T, 0) over its largest entry.

    Args:
        features_NC: floats (token, channel), scaled to unit length here.
        projected_NP: floats (token, component), not scaled here.
        weight: kappa; 0 gives `feature_affinity` with this offset.
        offset: as in `feature_affinity`: `mean` in the paper, `third` in the released code.
        threshold: set negative weights to 0.

    Returns:
        float32 (token, token), symmetric, largest entry 1; all 0 where no pair of tokens is similar.

    Source: SimSAM, W_feat = W_A + kappa W_SA.
    """
    gram = similarities(features_NC, normalize=True)
    similar = gram.max()
    gram -= offset_of(gram, offset)
    if weight:
        projected = np.asarray(projected_NP, np.float32)
        gram += np.float32(weight) * (projected @ projected.T)
    largest = gram.max()
    if largest <= ROUNDING * similar or largest <= 0:
        return np.zeros_like(gram)
    if threshold:
        np.maximum(gram, 0, out=gram)
    gram /= largest
    return gram


def affinity_batch(
    features_BNC: "Tensor",
    *,
    offset: Offset = "none",
    normalize: bool = True,
    threshold: bool = True,
    projected_BNP: "Tensor | None" = None,
    weight: float = 0.1,
) -> "Tensor":
    """`feature_affinity` of many images at once by torch, or `projected_affinity` where `projected_BNP` is given.

    Args:
        features_BNC: float32 (image, token, channel) on any device.
        offset, normalize, threshold: as in `feature_affinity`.
        projected_BNP, weight: as in `projected_affinity`.

    Returns:
        float32 (B, N, N) on the same device, within 1e-6 of the NumPy functions.

    Raises:
        ValueError: the offset is unknown.
    """
    features = unit_vectors(features_BNC) if normalize else features_BNC
    gram = features @ features.mT
    similar = gram.amax(dim=(1, 2), keepdim=True)
    if offset == "mean":
        gram -= gram.mean(dim=(1, 2), keepdim=True)
    elif offset == "third":
        gram -= similar / 3
    elif offset != "none":
        raise ValueError(f"offset: found {offset!r}; {', '.join(OFFSETS)} are allowed")
    if projected_BNP is not None:
        gram += weight * (projected_BNP @ projected_BNP.mT)
    largest = gram.amax(dim=(1, 2), keepdim=True)
    alike = (largest > ROUNDING * similar) & (largest > 0)
    if threshold:
        gram.clamp_(min=0)
    gram /= largest
    return gram.masked_fill_(~alike, 0)


def binary_batch(features_BNC: "Tensor", *, tau: float = 0.2, eps: float = 1e-5, normalize: bool = True) -> "Tensor":
    """`binary_affinity` of many images at once by torch: float32 (B, N, N) on the device of the features."""
    features = unit_vectors(features_BNC) if normalize else features_BNC
    return (features @ features.mT > tau).float().clamp(min=eps)


def stacked(graphs: Sequence[F32]) -> F32:
    """The graphs of a batch as one array (B, N, N). The graph of a single image is not copied."""
    return graphs[0][None] if len(graphs) == 1 else np.stack(graphs)


def cosine_weights(tokens: TokenBatch, *, offset: Offset, normalize: bool, threshold: bool) -> Weights:
    """`feature_affinity` of every image of a batch, on the device of the batch."""
    if tokens.by_torch:
        return affinity_batch(tokens.tensor(), offset=offset, normalize=normalize, threshold=threshold)
    return stacked(
        [feature_affinity(rows, offset=offset, normalize=normalize, threshold=threshold) for rows in tokens.features]
    )


def projected_weights(
    tokens: TokenBatch, projected: Sequence[F32], *, weight: float, offset: Offset, threshold: bool
) -> Weights:
    """`projected_affinity` of every image of a batch, on its device.

    `projected` holds one array (token, component) an image.
    """
    if tokens.by_torch:
        import torch

        return affinity_batch(
            tokens.tensor(),
            offset=offset,
            threshold=threshold,
            projected_BNP=torch.from_numpy(np.stack(projected)).to(tokens.device),
            weight=weight,
        )
    return stacked(
        [
            projected_affinity(rows, part, weight=weight, offset=offset, threshold=threshold)
            for rows, part in zip(tokens.features, projected, strict=True)
        ]
    )
