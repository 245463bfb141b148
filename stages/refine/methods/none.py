"""No refinement: every pixel takes the label of its token."""

from usseg.pipeline.methods import NoOptions
from usseg.stages.refine.method import LabelMap, Refined, RefineMethod
from usseg.stages.refine.voting import of_255


def refine(given: LabelMap, options: NoOptions) -> Refined:
    """The labels of tokens."""
    return Refined(given.upsampled, of_255(given.upsampled > 0), given.masks)


METHOD = RefineMethod(
    summary="No refinement: every pixel takes the label of its token.",
    call=refine,
    pixels=False,
)
