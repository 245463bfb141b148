"""Guided filter: each label's mask becomes, window by window, a linear function of the image. H x W pixels."""

from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pipeline.params import Params
from stages.refine.coarse import CoarseMap
from stages.refine.voting import U8, strongest_label

PIXELS = True
F64 = npt.NDArray[np.float64]


class Options(Params):
    """Options of method `guided_filter`."""

    radius: int = Field(
        9, ge=1, le=4096, description="of a window of 2 radius + 1 pixels a side; 9 suits images of 320"
    )
    eps: float = Field(
        1e-3, gt=0, le=1e6, description="variance of the guide, in [0, 1], below which a window is smoothed"
    )
    guide: Literal["gray", "color"] = Field("gray", description="the mean of R, G and B, or all three")


def box_mean(values: F64, *, radius: int) -> F64:
    """Mean over the part of each window that lies in the image: (H, W) or (H, W, channel)."""
    import cv2

    side = (2 * radius + 1, 2 * radius + 1)

    def total(array: F64) -> F64:
        return np.asarray(cv2.boxFilter(array, cv2.CV_64F, side, normalize=False, borderType=cv2.BORDER_CONSTANT))

    counts = total(np.ones(values.shape[:2]))
    sums = total(np.ascontiguousarray(values)).reshape(values.shape)
    return sums / (counts[..., None] if values.ndim == 3 else counts)


def guided_filter(
    mask_HW: npt.NDArray[np.floating], guide: npt.NDArray[np.floating], *, radius: int = 9, eps: float = 1e-3
) -> F64:
    """Filter a soft mask along the edges of a guide. Not cut to the range of the mask: near edges it overshoots.

    Args:
        mask_HW: floats (H, W).
        guide: floats in [0, 1], (H, W), or (H, W, 3) for a guide of three channels.
        radius: of the window, in pixels; windows are cut at the image border.
        eps: added to the variance of the guide.

    Returns:
        float64 (H, W).

    Source: He et al., Guided Image Filtering (PAMI 2013), equations 11 to 13, 14 for three channels.
    """
    mask: F64 = np.asarray(mask_HW, np.float64)
    pixels: F64 = np.asarray(guide, np.float64)

    def mean(values: F64) -> F64:
        return box_mean(values, radius=radius)

    if pixels.ndim == 2:
        mean_guide, mean_mask = mean(pixels), mean(mask)
        variance = np.maximum(mean(pixels * pixels) - mean_guide**2, 0.0)
        slope = (mean(pixels * mask) - mean_guide * mean_mask) / (variance + eps)
        return mean(slope) * pixels + mean(mean_mask - slope * mean_guide)
    mean_guide, mean_mask = mean(pixels), mean(mask)
    products = mean((pixels[..., :, None] * pixels[..., None, :]).reshape(*mask.shape, 9)).reshape(*mask.shape, 3, 3)
    spread = products - mean_guide[..., :, None] * mean_guide[..., None, :] + eps * np.eye(3)
    joint = mean(pixels * mask[..., None]) - mean_guide * mean_mask[..., None]
    slopes: F64 = np.asarray(np.linalg.solve(spread, joint[..., None])[..., 0], np.float64)
    offset = mean_mask - (slopes * mean_guide).sum(axis=2)
    return np.asarray((mean(slopes) * pixels).sum(axis=2) + mean(offset))


def gray_guide(image: npt.NDArray[np.uint8]) -> F64:
    """The mean of R, G and B in [0, 1], (H, W)."""
    return np.asarray(image.mean(axis=2) / 255.0)


def refine(coarse: CoarseMap, options: Options) -> tuple[npt.NDArray[np.int16], U8]:
    """Labels and foreground (height, width): each pixel takes the label whose filtered mask, cut to [0, 1], is largest."""
    guide = gray_guide(coarse.pixels) if options.guide == "gray" else coarse.pixels / 255.0

    def smooth(mask: npt.NDArray[np.bool_]) -> F64:
        return np.clip(guided_filter(mask.astype(np.float64), guide, radius=options.radius, eps=options.eps), 0.0, 1.0)

    return strongest_label(coarse.upsampled, smooth)
