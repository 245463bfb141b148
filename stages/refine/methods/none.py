"""No refinement: every pixel takes the label of its token."""

import numpy as np
import numpy.typing as npt

from usseg.pipeline.methods import NoOptions
from usseg.stages.refine.method import CoarseMap, RefineMethod
from usseg.stages.refine.voting import U8, of_255


def refine(coarse: CoarseMap, options: NoOptions) -> tuple[npt.NDArray[np.int16], U8]:
    """Labels and foreground (height, width)."""
    return coarse.upsampled, of_255(coarse.upsampled > 0)


METHOD = RefineMethod(
    summary="No refinement: every pixel takes the label of its token.",
    call=refine,
    pixels=False,
)
