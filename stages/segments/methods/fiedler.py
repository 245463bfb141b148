"""One object: the positive side of the second eigenvector (DSM, single-region segmentation)."""

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.params import Params
from usseg.stages.segments.tokens import ImageTokens

EIGENVECTORS = True
MODEL = False
OBJECTS = True
PAIR_BYTES = 0


class Options(Params):
    """Options of method `fiedler`."""

    threshold: float = Field(
        0.0, ge=-1e6, le=1e6, description="eigenvector value above which a token belongs to the object"
    )


def object_mask(eigenvector_N: npt.NDArray[np.floating], *, threshold: float = 0.0) -> npt.NDArray[np.bool_]:
    """Tokens whose value is above the threshold, (N,); none where all are: a cut has two sides."""
    mask = eigenvector_N > threshold
    return mask & ~mask.all()


def segment(tokens: ImageTokens, options: Options) -> npt.NDArray[np.int64]:
    """0 and 1 (row, column); 1 is the minority side. All 0 where no cut exists."""
    if tokens.degenerate:
        return np.zeros(tokens.grid, np.int64)
    mask = object_mask(tokens.eigenvectors[1], threshold=options.threshold)
    return mask.astype(np.int64).reshape(tokens.grid)
