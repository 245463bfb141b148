"""No refinement: every pixel takes the label of its token."""

from collections.abc import Mapping
from typing import Any

from usseg.pipeline.methods import NoOptions
from usseg.pipeline.params import refused
from usseg.stages.refine.method import LabelMap, Refined, RefineMethod
from usseg.stages.refine.voting import of_255


def check(options: NoOptions, sections: Mapping[str, Any]) -> None:
    """Refuse method `none` in a list of filters.

    Raises:
        ParamsError: `refine.method` is a list.
    """
    method = sections["refine"].method
    if not isinstance(method, str):
        raise refused("refine.method", method, "none changes nothing; leave it out of the list")


def refine(given: LabelMap, options: NoOptions) -> Refined:
    """Give each pixel the label of its token."""
    return Refined(given.upsampled, of_255(given.upsampled > 0))


METHOD = RefineMethod(
    summary="No refinement: every pixel takes the label of its token.",
    call=refine,
    check=check,
    pixels=False,
)
