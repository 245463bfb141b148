"""Labels and numbers on the token grid -> labels and numbers of every pixel, aligned with the pixels under the grid."""

from typing import Any

import numpy as np
import numpy.typing as npt


def upsample_labels(
    labels_hw: npt.NDArray[np.int16],
    size: tuple[int, int],
    *,
    extent: tuple[int, int] | None,
    offset: tuple[int, int] = (0, 0),
) -> npt.NDArray[np.int16]:
    """Upsample labels by nearest neighbour: int16 (height, width).

    Args:
        labels_hw: int16 (row, column) on the grid.
        size: height and width of the result.
        extent: height and width in pixels of the part that the grid covers. The pixels around it take the nearest row
            and column. None: the grid is stretched over the whole image (DSM, off by up to a patch at the far edges).
        offset: row and column of the first pixel under the grid.

    Returns:
        int16 (height, width).
    """
    picks = []
    for cells, length, covered, first in zip(labels_hw.shape, size, extent or size, offset, strict=True):
        centres = (np.arange(length) + 0.5 - first) * cells / covered
        picks.append(np.clip(centres.astype(np.int64), 0, cells - 1))
    return labels_hw[np.ix_(*picks)]


def upsample_shares(
    shares_hw: npt.NDArray[Any],
    size: tuple[int, int],
    *,
    extent: tuple[int, int] | None,
    offset: tuple[int, int] = (0, 0),
) -> npt.NDArray[np.float32]:
    """Upsample numbers bilinearly between the centres of tokens.

    Beyond the outer centres the nearest value is repeated.

    Args:
        shares_hw: numbers (row, column) on the grid.
        size, extent, offset: as in `upsample_labels`.

    Returns:
        float32 (height, width).
    """
    values = np.asarray(shares_hw, np.float32)
    for axis, (length, covered, first) in enumerate(zip(size, extent or size, offset, strict=True)):
        cells = values.shape[axis]
        places = np.clip((np.arange(length) + 0.5 - first) * cells / covered - 0.5, 0, cells - 1)
        low = places.astype(np.int64)
        part = (places - low).astype(np.float32).reshape((-1, 1) if axis == 0 else (1, -1))
        high = np.minimum(low + 1, cells - 1)
        values = values.take(low, axis) * (1 - part) + values.take(high, axis) * part
    return values
