"""No refinement: every pixel takes the label of its token."""

import numpy as np
import numpy.typing as npt

from pipeline.params import Params
from stages.refine.coarse import CoarseMap

PIXELS = False


class Options(Params):
    """Method `none` has no options."""


def refine(coarse: CoarseMap, options: Options) -> npt.NDArray[np.int16]:
    """Labels (height, width)."""
    return coarse.upsampled
