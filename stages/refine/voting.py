"""Soft masks of all labels -> the label of each pixel. Letters: an image has H x W pixels."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.stages.refine.method import LabelMap, Refined

F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]
ROUNDING = 1e-4  # in levels of 255: a smaller value is a rounding error of 0


def of_255(shares_HW: npt.NDArray[Any]) -> U8:
    """Shares in [0, 1], or bools, times 255 -> uint8 (H, W), rounded up.

    The result is above k exactly where the share is above k / 255.
    """
    exact = np.clip(shares_HW, 0.0, 1.0) * 255
    return np.ceil(exact - ROUNDING).astype(np.uint8)


def strongest_label(given: LabelMap, smooth: Callable[[npt.NDArray[Any]], F64]) -> Refined:
    """Smooth the mask of every label.

    Each pixel takes the label with the largest smoothed mask; of equals the smallest label. One soft mask is in memory
    at a time, unless `given.masks_wanted`.

    Args:
        given: the map. A map of one label is not changed.
        smooth: maps a mask, bool or float32 (H, W), to floats (H, W), in [0, 1] up to overshoots. The result for the
            complement of a mask must be 1 minus the result for the mask.
    """
    present = given.present
    out, best = np.full(given.size, present[0], np.int16), np.full(given.size, -np.inf)
    foreground = of_255(np.full(given.size, present[0] > 0))
    masks = {}
    for label in present if len(present) > 1 else []:
        values = smooth(given.mask(label))
        above = values > best
        out[above], best[above] = label, values[above]
        if label == 0:
            foreground = of_255(1.0 - values)
        if given.masks_wanted:
            masks[label] = np.clip(values, 0.0, 1.0).astype(np.float32)
    return Refined(out, foreground, masks or None)
