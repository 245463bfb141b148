"""Guided filter: in each window, the mask of a label becomes a linear function of the image. Letters: H x W pixels."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.params import Params
from usseg.stages.refine.method import LabelMap, Refined, RefineMethod, Window
from usseg.stages.refine.voting import strongest_label

TILE = 1024  # side in pixels of the squares that are filtered at a time
F64 = npt.NDArray[np.float64]


class Options(Params):
    """Options of method `guided_filter`."""

    radius: int = Field(
        9, ge=1, le=4096, description="a window has a side of 2 radius + 1 pixels; 9 suits images of 320 pixels"
    )
    eps: float = Field(
        1e-3, gt=0, le=1e6, description="windows whose guide, in [0, 1], has a smaller variance are smoothed"
    )
    guide: Literal["gray", "color"] = Field("gray", description="gray: mean of R, G and B; color: all three")


def box_means(size: tuple[int, ...], *, radius: int) -> Callable[[F64], F64]:
    """A function that computes window means of arrays (H, W) or (H, W, channel).

    A window is cut at the image border.
    """
    import cv2

    side = (2 * radius + 1, 2 * radius + 1)

    def total(array: F64) -> F64:
        return np.asarray(cv2.boxFilter(array, cv2.CV_64F, side, normalize=False, borderType=cv2.BORDER_CONSTANT))

    counts = total(np.ones(size))

    def mean(values: F64) -> F64:
        sums = total(np.ascontiguousarray(values)).reshape(values.shape)
        return sums / (counts[..., None] if values.ndim == 3 else counts)

    return mean


def guided_filter(
    mask_HW: npt.NDArray[np.floating], guide: npt.NDArray[np.floating], *, radius: int = 9, eps: float = 1e-3
) -> F64:
    """Smooth a soft mask, but not across the edges of a guide. Near edges the result may exceed the range of the mask.

    Args:
        mask_HW: floats (H, W).
        guide: floats in [0, 1], (H, W), or (H, W, 3) for a guide of three channels.
        radius: radius of a window in pixels. Windows are cut at the image border.
        eps: added to the variance of the guide.

    Returns:
        float64 (H, W).

    Source: He et al., Guided Image Filtering (PAMI 2013), equations 11 to 13, 14 for three channels.
    """
    return mask_filter(guide, radius=radius, eps=eps)(mask_HW)


def mask_filter(
    guide: npt.NDArray[np.floating], *, radius: int, eps: float
) -> Callable[[npt.NDArray[np.floating]], F64]:
    """`guided_filter` as a function of the mask (H, W). All that depends on the guide alone is computed once."""
    pixels: F64 = np.asarray(guide, np.float64)
    mean = box_means(pixels.shape[:2], radius=radius)
    mean_guide = mean(pixels)
    if pixels.ndim == 2:
        variance = np.maximum(mean(pixels * pixels) - mean_guide**2, 0.0) + eps

        def of_gray(mask_HW: npt.NDArray[np.floating]) -> F64:
            mask: F64 = np.asarray(mask_HW, np.float64)
            mean_mask = mean(mask)
            slope = (mean(pixels * mask) - mean_guide * mean_mask) / variance
            return mean(slope) * pixels + mean(mean_mask - slope * mean_guide)

        return of_gray
    products = mean((pixels[..., :, None] * pixels[..., None, :]).reshape(*pixels.shape[:2], 9))
    spread = products.reshape(*pixels.shape, 3) - mean_guide[..., :, None] * mean_guide[..., None, :] + eps * np.eye(3)

    def of_color(mask_HW: npt.NDArray[np.floating]) -> F64:
        mask: F64 = np.asarray(mask_HW, np.float64)
        mean_mask = mean(mask)
        joint = mean(pixels * mask[..., None]) - mean_guide * mean_mask[..., None]
        slopes: F64 = np.asarray(np.linalg.solve(spread, joint[..., None])[..., 0], np.float64)
        offset = mean_mask - (slopes * mean_guide).sum(axis=2)
        return np.asarray((mean(slopes) * pixels).sum(axis=2) + mean(offset))

    return of_color


def gray_guide(image: npt.NDArray[np.uint8]) -> F64:
    """The mean of R, G and B: float64 (H, W) in [0, 1]."""
    red, green, blue = (image[..., channel].astype(np.float64) for channel in range(3))
    return np.asarray((red + green + blue) / 3 / 255.0)


def tiles(size: tuple[int, int], *, side: int, margin: int) -> Iterator[tuple[Window, ...]]:
    """The tiles of an image as windows: each tile, the tile with a margin around it, and the tile within its margin."""
    spans = [
        [(start, min(start + side, length), max(0, start - margin)) for start in range(0, length, side)]
        for length in size
    ]
    for rows, columns in product(*spans):
        cuts = [
            (slice(start, stop), slice(first, min(stop + margin, length)), slice(start - first, stop - first))
            for (start, stop, first), length in zip((rows, columns), size, strict=True)
        ]
        yield tuple(zip(*cuts, strict=True))


def within_range(smooth: Callable[[npt.NDArray[np.floating]], F64], mask: npt.NDArray[Any]) -> F64:
    """A smoothed mask, clipped to [0, 1]: float64 (H, W)."""
    return np.clip(smooth(mask.astype(np.float64)), 0.0, 1.0)


def refine(given: LabelMap, options: Options) -> Refined:
    """Give each pixel the label whose filtered mask, clipped to [0, 1], is largest.

    A large image is filtered in tiles to bound the memory. The tiles do not change the result, because a filtered
    pixel depends only on pixels within two radii.
    """
    margin = 2 * options.radius
    labels, foreground = np.empty(given.size, np.int16), np.empty(given.size, np.uint8)
    mask_labels = given.present if given.masks_wanted else []
    masks = {label: np.zeros(given.size, np.float32) for label in mask_labels}
    for tile, with_margin, inner in tiles(given.size, side=max(TILE, 4 * margin), margin=margin):
        part = given.cropped(with_margin)
        guide = gray_guide(part.pixels) if options.guide == "gray" else part.pixels / 255.0
        smooth = mask_filter(guide, radius=options.radius, eps=options.eps)
        refined = strongest_label(part, partial(within_range, smooth))
        labels[tile], foreground[tile] = refined.labels[inner], refined.foreground[inner]
        for label, mask in masks.items():
            if refined.masks:
                mask[tile] = refined.masks[label][inner] if label in refined.masks else 0
            else:
                mask[tile] = refined.labels[inner] == label
    return Refined(labels, foreground, masks or None)


METHOD = RefineMethod(
    summary="In each window, the mask of a label becomes a linear function of the image.",
    call=refine,
    options=Options,
    source="He et al., Guided Image Filtering (PAMI 2013)",
)
