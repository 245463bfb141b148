"""Multi-scale consistency: what a network says of an enlarged part of an image teaches what it says of the whole.

Letters: B images, K channels of a mask, H x W pixels, G channels of a guide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

CLEAR = 1e-6  # distance of a teacher's mask from 0 and 1
RELEASED_SIDE, RELEASED_LEFT = 320, (10, 30)  # side of the images of the released code, and range of its columns


@dataclass(frozen=True)
class Part:
    """A part of an image: its first row and column, its height and width, in pixels."""

    top: int
    left: int
    height: int
    width: int


def random_part(
    size: tuple[int, int],
    *,
    ratio: float,
    place: Literal["random", "fixed_center"],
    patch: int,
    rng: np.random.Generator,
) -> Part:
    """Draw the part of an image that is enlarged.

    Args:
        size: height and width of the image, pixels, multiples of `patch`.
        ratio: height and width of the part as a share of the image.
        place: random: uniform over all places that begin at a patch. fixed_center: the rows in the middle; the first
            column from 10 to 29 of 320, as the released code draws it.
        patch: side of a patch, pixels.
        rng: the source of the random numbers.

    Source: Two Tricks, section 3.1, and its code.
    """
    sides = [max(1, round(ratio * length / patch)) * patch for length in size]
    if place == "fixed_center":
        left = int(rng.integers(*RELEASED_LEFT)) * size[1] // RELEASED_SIDE
        return Part((size[0] - sides[0]) // 2, min(left, size[1] - sides[1]), *sides)
    top, left = (
        int(rng.integers((length - side) // patch + 1)) * patch for length, side in zip(size, sides, strict=True)
    )
    return Part(top, left, *sides)


def box_mean(values_BKHW: Tensor, radius: int) -> Tensor:
    """The mean over windows of 2 radius + 1 pixels, (B, K, H, W). Windows are cut at the image border."""
    side = 2 * radius + 1
    for kernel, padding in (((side, 1), (radius, 0)), ((1, side), (0, radius))):
        values_BKHW = functional.avg_pool2d(values_BKHW, kernel, 1, padding, count_include_pad=False)
    return values_BKHW


def guided_filter(mask_BKHW: Tensor, guide_B1HW: Tensor, *, radius: int = 9, eps: float = 1e-3) -> Tensor:
    """Smooth masks, but not across the edges of a guide: (B, K, H, W). The result may leave the range of the mask.

    Args:
        mask_BKHW: floats.
        guide_B1HW: floats in [0, 1]; the mean of red, green and blue.
        radius: radius of a window, pixels.
        eps: added to the variance of the guide.

    Source: He et al., Guided Image Filtering (PAMI 2013), equations 11 to 13; radius and eps of the code of Two Tricks.
    """
    mean_guide, mean_mask = box_mean(guide_B1HW, radius), box_mean(mask_BKHW, radius)
    variance = (box_mean(guide_B1HW * guide_B1HW, radius) - mean_guide**2).clamp(min=0)
    slope = (box_mean(guide_B1HW * mask_BKHW, radius) - mean_guide * mean_mask) / (variance + eps)
    return box_mean(slope, radius) * guide_B1HW + box_mean(mean_mask - slope * mean_guide, radius)


def teacher_target(mask_BKHW: Tensor, image_B3HW: Tensor, *, radius: int = 9, eps: float = 1e-3) -> Tensor:
    """The target that a mask of enlarged parts gives: filtered, within [1e-6, 1 - 1e-6], without a gradient.

    Without the stop both masks would drift to a constant.

    Args:
        mask_BKHW: probabilities of the enlarged parts.
        image_B3HW: RGB in [0, 1] of the enlarged parts.
        radius: of the guided filter; 0: no filter.
        eps: of the guided filter.
    """
    mask = mask_BKHW.detach()
    if radius:
        mask = guided_filter(mask, image_B3HW.mean(dim=1, keepdim=True), radius=radius, eps=eps)
    return mask.clamp(CLEAR, 1 - CLEAR)


def enlarged_parts(mask_BKHW: Tensor, parts: Sequence[Part], size: tuple[int, int]) -> Tensor:
    """The part of the mask of each image, enlarged bilinearly to the size of the mask: (B, K, H, W).

    Args:
        mask_BKHW: masks that cover the whole images.
        parts: a part of each image.
        size: height and width of the images, in the pixels of the parts.
    """
    whole = mask_BKHW.shape[2:]
    by_row, by_column = (to / length for to, length in zip(whole, size, strict=True))
    cut = []
    for mask, part in zip(mask_BKHW, parts, strict=True):
        rows = slice(round(part.top * by_row), round((part.top + part.height) * by_row))
        columns = slice(round(part.left * by_column), round((part.left + part.width) * by_column))
        piece = mask[None, :, rows, columns]
        cut.append(functional.interpolate(piece, size=whole, mode="bilinear", align_corners=False))
    return torch.cat(cut)


def consistency(mask_BKHW: Tensor, parts: Sequence[Part], size: tuple[int, int], target_BKHW: Tensor) -> Tensor:
    """The squared difference of the enlarged parts of masks and their targets, (B,), the mean over pixels.

    Source: Two Tricks, equation of L_eq.
    """
    return (enlarged_parts(mask_BKHW, parts, size) - target_BKHW).square().mean(dim=(1, 2, 3))
