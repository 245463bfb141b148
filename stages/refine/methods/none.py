"""No refinement: every pixel takes the label of its token."""

import numpy as np
import numpy.typing as npt

from usseg.pipeline.params import Params
from usseg.stages.refine.coarse import CoarseMap
from usseg.stages.refine.voting import U8, of_255

PIXELS = False


class Options(Params):
    """Method `none` has no options."""


def refine(coarse: CoarseMap, options: Options) -> tuple[npt.NDArray[np.int16], U8]:
    """Labels and foreground (height, width)."""
    return coarse.upsampled, of_255(coarse.upsampled > 0)
