"""One object: the positive side of the second eigenvector (DSM, single-region segmentation)."""

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pipeline.params import Params
from stages.segments.tokens import ImageTokens


class Options(Params):
    """Options of method `fiedler`."""

    threshold: float = Field(0.0, description="eigenvector value above which a token belongs to the object")


def segment(tokens: ImageTokens, options: Options) -> npt.NDArray[np.int64]:
    """0 and 1 (row, column); 1 is the minority side. All 0 where no cut exists."""
    if tokens.degenerate:
        return np.zeros(tokens.grid, np.int64)
    mask = tokens.eigenvectors[1] > options.threshold
    if mask.all():
        mask = np.zeros_like(mask)
    return mask.astype(np.int64).reshape(tokens.grid)
