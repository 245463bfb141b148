"""Soft masks, one label after the other -> the label of each pixel."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.stages.refine.method import LabelMap, Refined

F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]
ROUNDING = 1e-4  # of 255: what arithmetic leaves of 0


def of_255(shares_HW: npt.NDArray[Any]) -> U8:
    """Shares in [0, 1], or bools -> uint8, rounded up: a share is above k / 255 just where the result is above k."""
    exact = np.clip(shares_HW, 0.0, 1.0) * 255
    return np.ceil(exact - ROUNDING).astype(np.uint8)


def strongest_label(given: LabelMap, smooth: Callable[[npt.NDArray[Any]], F64]) -> Refined:
    """Smooth the mask of every label and give each pixel the label whose map is largest there, the smallest of equals.

    One soft map is held at a time, however many labels there are, unless masks are wanted.

    Args:
        given: a map of one label stays as it is.
        smooth: a mask, bool or float32 (height, width) -> floats (height, width), in [0, 1] but for overshoots; the
            map of what is left of a mask is 1 less its own.
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
