"""Bring label maps to full size."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field

from pipeline.artifact import ArraySpec
from pipeline.params import Params, validate
from pipeline.stage import Execution, Input, Inputs, Stage


class RefineParams(Params):
    """How pixels get their labels."""

    method: Literal["none", "guided_filter", "bilateral_solver", "crf"] = Field(
        "none", description="see stages/refine/methods"
    )
    upsampling: Literal["align", "stretch"] = Field(
        "align", description="stretch: the grid over the whole image, as DSM"
    )
    options: dict[str, Any] = Field({}, description="options of the method")


def sizes(params: RefineParams, inputs: Inputs) -> Mapping[str, int]:
    """The largest height and width of the split."""
    height, width = inputs["index"]["size"][:].max(axis=0).tolist()
    return {"row": height, "column": width, "side": 2}


def run(params: RefineParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """Full-size maps of a block of images."""
    from stages.refine.coarse import CoarseMap
    from stages.refine.methods import METHODS

    method = METHODS[params.method]
    options = validate(params.options, method.Options, where=f"params.yaml: refine.options ({params.method})")
    block = slice(images.start, images.stop)
    size = inputs["index"]["size"][block]
    extent, grid = inputs["features"]["extent"][block], inputs["assign"]["grid"][block]
    labels = inputs["assign"]["labels"][block]
    largest = sizes(params, inputs)
    maps = np.full((len(images), largest["row"], largest["column"]), -1, np.int16)
    for row in range(len(images)):
        h, w = grid[row].tolist()
        height, width = size[row].tolist()
        coarse = CoarseMap(
            labels=labels[row, : h * w].reshape(h, w),
            size=(height, width),
            extent=tuple(extent[row].tolist()) if params.upsampling == "align" else None,
            image=inputs.image(images[row]) if method.PIXELS else None,
        )
        maps[row, :height, :width] = method.refine(coarse, options)
    return {"maps": maps, "size": size}


STAGE = Stage(
    name="refine",
    summary="Bring label maps to the size of their images.",
    version=1,
    params=RefineParams,
    inputs=(Input("index"), Input("features"), Input("assign")),
    arrays={
        "maps": ArraySpec(
            ("image", "row", "column"), "int16", "label a pixel: 0 background, clusters from 1, -1 outside", fill=-1
        ),
        "size": ArraySpec(("image", "side"), "int32", "height and width, pixels"),
    },
    sizes=sizes,
    run=run,
)
