"""Grid -> image without misalignment."""

import numpy as np
import numpy.typing as npt


def upsample_labels(
    labels_hw: npt.NDArray[np.int16],
    size: tuple[int, int],
    *,
    extent: tuple[int, int] | None,
    offset: tuple[int, int] = (0, 0),
) -> npt.NDArray[np.int16]:
    """Nearest-neighbour upsampling.

    Args:
        labels_hw: labels (row, column).
        size: height and width wanted.
        extent: pixels that the grid covers; what is around them repeats the nearest row and column.
            None: the grid is stretched over the whole image (DSM, off by up to a patch at the far edges).
        offset: the first pixel of the extent.

    Returns:
        int16 (height, width).
    """
    picks = []
    for cells, length, covered, first in zip(labels_hw.shape, size, extent or size, offset, strict=True):
        centres = (np.arange(length) + 0.5 - first) * cells / covered
        picks.append(np.clip(centres.astype(np.int64), 0, cells - 1))
    return labels_hw[np.ix_(*picks)]
