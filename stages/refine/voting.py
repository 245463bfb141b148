"""Soft maps, one label after the other -> the label of each pixel."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]
ROUNDING = 1e-4  # of 255: what arithmetic leaves of 0


def of_255(shares_HW: npt.NDArray[Any]) -> U8:
    """Shares in [0, 1], or bools -> uint8, rounded up: a share is above k / 255 just where the result is above k."""
    exact = np.clip(shares_HW, 0.0, 1.0) * 255
    return np.ceil(exact - ROUNDING).astype(np.uint8)


def strongest_label(
    labels_HW: npt.NDArray[np.int16], smooth: Callable[[npt.NDArray[np.bool_]], F64]
) -> tuple[npt.NDArray[np.int16], U8]:
    """Smooth the mask of every label and give each pixel the label whose map is largest there, the smallest of equals.

    One soft map is held at a time, however many labels there are.

    Args:
        labels_HW: int16 (height, width). A map of one label stays as it is.
        smooth: bool (height, width) -> floats in [0, 1] (height, width); the map of what is left of a mask is 1 less its own.

    Returns:
        labels, and how sure each pixel is not to be label 0, of 255: uint8 (height, width).
    """
    present = np.unique(labels_HW)
    out, best = np.full(labels_HW.shape, present[0], np.int16), np.full(labels_HW.shape, -np.inf)
    foreground = of_255(labels_HW > 0)
    for label in present if len(present) > 1 else []:
        values = smooth(labels_HW == label)
        above = values > best
        out[above], best[above] = label, values[above]
        if label == 0:
            foreground = of_255(1.0 - values)
    return out, foreground
