"""Mask proposals by principal directions (PriMaPs), without the refinement to pixels.

Letters: N tokens, C channels, K masks, h rows and w columns of tokens.

The anchor is the token nearest to the first principal direction of the remaining tokens. The tokens similar to the
anchor form a mask. This is repeated until few tokens remain. The original then refines the masks with a dense CRF; in
usseg `refine.method: crf` does this.
"""

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.params import Params
from usseg.stages.segments.method import ImageTokens, SegmentsMethod
from usseg.stages.segments.unit_tokens import unit_tokens

F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
GAIN = 10.0  # factor of a mask after the median filter; the product is clipped at 1
ROUNDING = 1e-6  # tokens whose nearness differs by less are equally near


class Options(Params):
    """Options of method `primaps`."""

    threshold: float = Field(
        0.4,
        gt=0,
        le=1,
        description="psi: smallest similarity in a mask, as a share of the largest one",
    )
    coverage: float = Field(
        0.95, gt=0, le=1, description="the search ends when the masks contain this share of the tokens"
    )
    masks: int = Field(64, ge=1, le=10_000, description="largest number of masks")


def principal_direction(features_NC: npt.NDArray[np.floating]) -> F64:
    """The first principal direction of tokens (N, C): float64 (C,), of unit length and arbitrary sign.

    The tokens are centred, but not scaled to unit length. Where all tokens are equal, the result is the direction of
    their mean.

    Source: Hahn et al., PriMaPs-EM (TMLR 2024), section 3.2. PCA is exact here and randomised in the original.
    """
    features = np.asarray(features_NC, np.float64)
    mean = features.mean(axis=0)
    centred = features - mean
    if np.abs(centred).max() <= 1e-7 * np.abs(features).max():
        return np.asarray(unit_tokens(mean[None])[0])
    tokens, channels = centred.shape
    gram = centred.T @ centred if channels <= tokens else centred @ centred.T
    # All eigenpairs: LAPACK's routine for some of them may return none where eigenvalues are equal.
    vector = np.linalg.eigh(gram)[1][:, -1]
    direction = vector if channels <= tokens else centred.T @ vector
    return np.asarray(direction / np.linalg.norm(direction))


def anchor_token(unit_NC: F64, left_N: Mask, direction_C: npt.NDArray[np.floating]) -> int:
    """The token, among those in no mask yet, that lies nearest to a direction or to its opposite.

    A principal direction has no sign, so that the sign of `direction_C` does not matter. The first of equal tokens is
    taken.

    Args:
        unit_NC: float64 (token, channel), tokens of unit length.
        left_N: bool (token,), the tokens in no mask yet, at least one.
        direction_C: (channel,), of unit length.
    """
    nearness = np.where(left_N, np.abs(unit_NC @ np.asarray(direction_C, np.float64)), -np.inf)
    return int(np.argmax(nearness >= nearness.max() - ROUNDING))


def proposal(unit_NC: F64, left_N: Mask, anchor: int, *, threshold: float = 0.4) -> F64:
    """A soft mask of the tokens that are similar to one token, the anchor.

    Args:
        unit_NC: float64 (token, channel), tokens of unit length.
        left_N: bool (token,), the tokens in no mask yet. All other tokens get 0.
        anchor: index of the token, one of those in no mask yet.
        threshold: psi, the share of the largest similarity below which a similarity counts as 0.

    Returns:
        float64 (token,) in [0, 1]: 1 at the anchor, 0 outside the mask; all 0 where the anchor is a zero token.
    """
    similar = np.where(left_N, unit_NC @ unit_NC[anchor], 0.0)
    largest = similar.max()
    if largest <= 0:
        return np.zeros(len(unit_NC))
    return np.where(similar >= threshold * largest, similar / largest, 0.0)


def proposals(
    features_NC: npt.NDArray[np.floating], *, threshold: float = 0.4, coverage: float = 0.95, masks: int = 64
) -> F64:
    """The soft masks of an image in the order of the search: float64 (K, N) in [0, 1], disjoint.

    A zero token is in no mask.

    Source: Hahn et al., PriMaPs-EM (TMLR 2024), algorithm 1.
    """
    unit = unit_tokens(np.asarray(features_NC, np.float64))
    left = np.ones(len(unit), np.bool_)
    masks_found: list[F64] = []
    while left.mean() > 1 - coverage and len(masks_found) < masks:
        anchor = anchor_token(unit, left, principal_direction(features_NC[left]))
        mask = proposal(unit, left, anchor, threshold=threshold)
        if not mask.any():
            break
        masks_found.append(mask)
        left &= mask == 0
    return np.array(masks_found).reshape(len(masks_found), len(unit))


def median_masks(soft_Khw: npt.NDArray[np.floating]) -> F64:
    """Apply a 3 x 3 median filter, mirrored at the border, to each mask: float64 (K, row, column)."""
    from scipy.ndimage import median_filter

    return np.asarray(median_filter(np.asarray(soft_Khw, np.float64), size=(1, 3, 3), mode="mirror"))


def mask_logits(median_Khw: npt.NDArray[np.floating]) -> F64:
    """The log softmax of background and masks: float64 (K + 1, row, column), background first.

    The masks are multiplied by 10 and clipped at 1. The value of the background is the mean of all positive mask
    values (1 where there are none) minus the sum of the masks. (For a single mask the original adds up rows instead of
    masks, so that few pixels are background.)
    """
    masks = np.clip(GAIN * np.asarray(median_Khw, np.float64), 0.0, 1.0)
    level = masks[masks > 0].mean() if (masks > 0).any() else 1.0
    values = np.concatenate([np.clip(level - masks.sum(axis=0), 0.0, 1.0)[None], masks])
    values -= values.max(axis=0)
    return np.asarray(values - np.log(np.exp(values).sum(axis=0)))


def segment(tokens: ImageTokens, options: Options) -> npt.NDArray[np.int64]:
    """0 for the background, then 1 to at most `masks` in the order of the search: int64 (row, column)."""
    soft = proposals(tokens.features, **options.model_dump())
    logits = mask_logits(median_masks(soft.reshape(-1, *tokens.grid)))
    return logits.argmax(axis=0).astype(np.int64)


METHOD = SegmentsMethod(
    summary="Mask proposals: repeatedly, the tokens similar to the token nearest to the principal direction (PriMaPs).",
    call=segment,
    options=Options,
    objects=True,
    source="Hahn et al., PriMaPs-EM (TMLR 2024), algorithm 1",
)
