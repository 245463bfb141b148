"""Patch features -> affinity matrix. B images with equally many tokens, N tokens, C channels, P components of a projection."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

KINDS = ("cos_relu", "cos_mean_relu", "cos_third_relu", "binary")
ROWS = 64  # cut at zero and scaled at a time, while they are in the cache
ROUNDING = 1e-6  # share of the largest similarity below which what the offset leaves is rounding


def unit_rows(features_NC: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Rows scaled to unit length; a zero row stays zero."""
    features = np.asarray(features_NC, np.float32)
    norms = np.sqrt(np.vecdot(features, features))[:, None]
    return features / np.maximum(norms, np.float32(1e-12))


def feature_affinity(
    features_NC: npt.NDArray[np.floating],
    *,
    kind: str = "cos_relu",
    normalize: bool = True,
    threshold: bool = True,
    tau: float = 0.2,
    eps: float = 1e-5,
) -> npt.NDArray[np.float32]:
    """Affinity between all pairs of tokens.

    Args:
        features_NC: floats (token, channel).
        kind: `cos_relu`: max(G, 0) (DSM); `cos_mean_relu`: max(G - mean G, 0) (SimSAM, W_A);
            `cos_third_relu`: max(G - max(G) / 3, 0) (SimSAM's code); `binary`: 1 where G > tau, else eps (TokenCut). G = F F^T.
        normalize: scale rows to unit length first.
        threshold: cut at zero.
        tau, eps: only for `binary`.

    Returns:
        float32 (token, token), symmetric, largest entry 1 (all zero where no pair is similar).
    """
    features = unit_rows(features_NC) if normalize else np.asarray(features_NC, np.float32)
    gram = features @ features.T
    if kind == "binary":
        return np.where(gram > tau, np.float32(1), np.float32(eps))
    similar = gram.max()
    offset = np.float32(0)
    if kind == "cos_mean_relu":
        offset = gram.mean(dtype=np.float64).astype(np.float32)
    elif kind == "cos_third_relu":
        offset = similar / np.float32(3)
    elif kind != "cos_relu":
        raise ValueError(f"affinity: found {kind!r}; {', '.join(KINDS)} are allowed")
    largest = similar - offset
    if largest <= ROUNDING * similar or largest <= 0:
        return np.zeros_like(gram)
    zeros = np.zeros((ROWS, len(gram)), np.float32)  # numpy cuts at an array several times faster than at a number
    for start in range(0, len(gram), ROWS):
        rows = gram[start : start + ROWS]
        if offset:
            rows -= offset
        if threshold:
            np.maximum(rows, zeros[: len(rows)], out=rows)
        rows /= largest
    return gram


def projected_affinity(
    features_NC: npt.NDArray[np.floating],
    projected_NP: npt.NDArray[np.floating],
    *,
    weight: float = 0.1,
    kind: str = "cos_mean_relu",
    threshold: bool = True,
) -> npt.NDArray[np.float32]:
    """Affinity of unit-length features plus that of a projection of them: max(G - offset + weight P P^T, 0).

    Args:
        features_NC: floats (token, channel), scaled to unit length here.
        projected_NP: floats (token, component), as they are.
        weight: kappa; 0 gives `feature_affinity` of this kind.
        kind: what the offset is: `cos_mean_relu` (paper) or `cos_third_relu` (released code).
        threshold: cut at zero.

    Returns:
        float32 (token, token), symmetric, largest entry 1 (all zero where no pair is similar).

    Source: SimSAM, W_feat = W_A + kappa W_SA.
    """
    if kind not in ("cos_mean_relu", "cos_third_relu"):
        raise ValueError(f"affinity: found {kind!r}; cos_mean_relu or cos_third_relu is allowed")
    features = unit_rows(features_NC)
    gram = features @ features.T
    similar = gram.max()
    gram -= similar / np.float32(3) if kind == "cos_third_relu" else gram.mean(dtype=np.float64).astype(np.float32)
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
    kind: str = "cos_relu",
    normalize: bool = True,
    threshold: bool = True,
    tau: float = 0.2,
    eps: float = 1e-5,
    projected_BNP: "Tensor | None" = None,
    weight: float = 0.1,
) -> "Tensor":
    """`feature_affinity` of many images at once by torch, and `projected_affinity` where `projected_BNP` is given.

    Args:
        features_BNC: float32 on any device.
        kind, normalize, threshold, tau, eps: of `feature_affinity`, its plain twin.
        projected_BNP, weight: of `projected_affinity`, its plain twin.

    Returns:
        float32 (B, N, N) on the same device; within 1e-6 of the twins.
    """
    features = features_BNC
    if normalize:
        features = features / features.norm(dim=2, keepdim=True).clamp(min=1e-12)
    gram = features @ features.mT
    if kind == "binary":
        return (gram > tau).float().clamp(min=eps)
    similar = gram.amax(dim=(1, 2), keepdim=True)
    if kind == "cos_mean_relu":
        gram -= gram.mean(dim=(1, 2), keepdim=True)
    elif kind == "cos_third_relu":
        gram -= similar / 3
    elif kind != "cos_relu":
        raise ValueError(f"affinity: found {kind!r}; {', '.join(KINDS)} are allowed")
    if projected_BNP is not None:
        gram += weight * (projected_BNP @ projected_BNP.mT)
    largest = gram.amax(dim=(1, 2), keepdim=True)
    alike = (largest > ROUNDING * similar) & (largest > 0)
    if threshold:
        gram.clamp_(min=0)
    gram /= largest
    return gram.masked_fill_(~alike, 0)


def principal_scores(features_NC: npt.NDArray[np.floating], *, components: int = 64) -> npt.NDArray[np.float32]:
    """Scores of unit-length, centred features on their first principal directions, not whitened: float32 (token, component).

    At most as many as there are channels, and tokens less one.
    """
    features = unit_rows(features_NC).astype(np.float64)
    centred = features - features.mean(axis=0)
    count = min(components, len(centred) - 1, centred.shape[1])
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    return (left[:, :count] * singular[:count]).astype(np.float32)
