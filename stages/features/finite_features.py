"""The check that all stored features are finite."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.inputs import Inputs
from usseg.pipeline.params import refused


def refuse_infinite(params: Any, name: str, found: npt.NDArray[Any], images: Sequence[int], inputs: Inputs) -> None:
    """Refuse features that are not finite, or beyond what float16 holds.

    Args:
        params: the params of the stage.
        name: name of the array.
        found: (image, ..., channel), in the stored dtype.
        images: rows of the images in the split.
        inputs: the inputs of the stage, for the ids of the images.

    Raises:
        ParamsError: names the first such image, and what to change.
    """
    good = np.isfinite(found).all(axis=tuple(range(1, found.ndim)))
    if good.all():
        return
    row = int(np.argmin(good))
    image = f"{name} of image {inputs['index']['id'][images[row]]!r}"
    if found.dtype == np.float16 and not np.isnan(found[row]).any():
        raise refused("features.dtype", params.dtype, f"{image} go beyond the 65504 that it holds; set float32")
    raise refused(
        "features.backbone",
        params.backbone,
        f"{image} are not finite; take other weights (features.options.weights), or precision: float32",
    )
