"""Soft maps, one label after the other -> the label of each pixel."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]


def strongest_label(
    labels_HW: npt.NDArray[np.int16], smooth: Callable[[npt.NDArray[np.bool_]], F64]
) -> npt.NDArray[np.int16]:
    """Smooth the mask of every label and give each pixel the label whose map is largest there, the smallest of equals.

    One soft map is held at a time, however many labels there are.

    Args:
        labels_HW: int16 (height, width). A map of one label stays as it is.
        smooth: bool (height, width) -> floats (height, width).
    """
    present = np.unique(labels_HW)
    out, best = np.full(labels_HW.shape, present[0], np.int16), np.full(labels_HW.shape, -np.inf)
    for label in present if len(present) > 1 else []:
        values = smooth(labels_HW == label)
        above = values > best
        out[above], best[above] = label, values[above]
    return out
