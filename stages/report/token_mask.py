"""The pixels of an image that tokens cover."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def pixel_mask(
    mask_hw: npt.NDArray[np.bool_], size: tuple[int, ...], stride: Sequence[float], offset: Sequence[int] = (0, 0)
) -> npt.NDArray[np.bool_]:
    """The pixels of an image that the tokens of a mask cover: bool (height, width).

    Args:
        mask_hw: bool (row, column), tokens.
        size: height and width of the image.
        stride: height and width of a token, pixels.
        offset: row and column of the first pixel under the grid.
    """
    rows, cols = (
        np.clip(np.floor((np.arange(side) - first) / step).astype(np.int64), -1, count) + 1
        for side, step, count, first in zip(size, stride, mask_hw.shape, offset, strict=True)
    )
    return np.pad(mask_hw, 1)[np.ix_(rows, cols)]
