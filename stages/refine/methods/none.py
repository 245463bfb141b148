"""No refinement: every pixel takes the label of its token."""

import numpy as np
import numpy.typing as npt

from stages.refine.upsampling import upsample_labels


def refine(
    labels_hw: npt.NDArray[np.int16], size: tuple[int, int], extent: tuple[int, int], *, upsampling: str
) -> npt.NDArray[np.int16]:
    """Labels (row, column) of the grid -> labels (height, width)."""
    return upsample_labels(labels_hw, size, extent=extent if upsampling == "align" else None)
