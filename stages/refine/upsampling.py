"""Grid -> image without misalignment."""

import numpy as np
import numpy.typing as npt


def upsample_labels(
    labels_hw: npt.NDArray[np.int16], size: tuple[int, int], *, extent: tuple[int, int] | None
) -> npt.NDArray[np.int16]:
    """Nearest-neighbour upsampling.

    Args:
        labels_hw: labels (row, column).
        size: height and width wanted.
        extent: pixels from the top left that the grid covers; the strip beyond repeats the last row and column.
            None: the grid is stretched over the whole image (DSM, off by up to a patch at the far edges).

    Returns:
        int16 (height, width).
    """
    picks = []
    for cells, length, covered in zip(labels_hw.shape, size, extent or size, strict=True):
        centres = (np.arange(length) + 0.5) * cells / covered
        picks.append(np.minimum(centres.astype(np.int64), cells - 1))
    return labels_hw[np.ix_(*picks)]
