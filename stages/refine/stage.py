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

    source: Literal["assign", "segments"] = Field(
        "assign", description="whose maps: the labels of clusters, or the segments of each image"
    )
    method: Literal["none", "guided_filter", "bilateral_solver", "crf"] = Field(
        "none", description="see stages/refine/methods"
    )
    upsampling: Literal["align", "stretch"] = Field(
        "align", description="stretch: the grid over the whole image, as DSM"
    )
    foreground: bool = Field(False, description="keep how sure each pixel is to be in an object, for maxF")
    options: dict[str, Any] = Field({}, description="options of the method")


def options_of(params: RefineParams) -> Any:
    """The options of the method, checked."""
    from stages.refine.methods import METHODS

    return validate(
        params.options, METHODS[params.method].Options, where=f"params.yaml: refine.options ({params.method})"
    )


def reads_clusters(params: RefineParams) -> bool:
    """Whether labels are those of clusters."""
    return params.source == "assign"


def reads_segments(params: RefineParams) -> bool:
    """Whether labels are those of segments."""
    return params.source == "segments"


def sizes(params: RefineParams, inputs: Inputs) -> Mapping[str, int]:
    """The largest height and width of the split."""
    height, width = inputs["index"]["size"][:].max(axis=0).tolist()
    soft = {"soft_row": height, "soft_column": width} if params.foreground else {"soft_row": 0, "soft_column": 0}
    return {"row": height, "column": width, "side": 2, **soft}


def run(params: RefineParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """Full-size maps of a block of images."""
    from stages.refine.coarse import CoarseMap
    from stages.refine.methods import METHODS

    method, options = METHODS[params.method], options_of(params)
    block = slice(images.start, images.stop)
    size = inputs["index"]["size"][block]
    source = inputs[params.source]
    extent, grid = inputs["features"]["extent"][block], source["grid"][block]
    labels = source["labels" if reads_clusters(params) else "segments"][block]
    largest = sizes(params, inputs)
    maps = np.full((len(images), largest["row"], largest["column"]), -1, np.int16)
    foreground = np.zeros((len(images), largest["soft_row"], largest["soft_column"]), np.uint8)
    for row in range(len(images)):
        h, w = grid[row].tolist()
        height, width = size[row].tolist()
        coarse = CoarseMap(
            labels=labels[row, : h * w].reshape(h, w),
            size=(height, width),
            extent=tuple(extent[row].tolist()) if params.upsampling == "align" else None,
            image=inputs.image(images[row]) if method.PIXELS else None,
        )
        maps[row, :height, :width], soft = method.refine(coarse, options)
        if params.foreground:
            foreground[row, :height, :width] = soft
    return {"maps": maps, "foreground": foreground, "size": size}


STAGE = Stage(
    name="refine",
    summary="Bring label maps to the size of their images.",
    version=2,
    params=RefineParams,
    inputs=(
        *(Input("index"), Input("features")),
        *(Input("segments", needed=reads_segments), Input("assign", needed=reads_clusters)),
    ),
    arrays={
        "maps": ArraySpec(
            ("image", "row", "column"),
            "int16",
            "label a pixel: 0 background, clusters or segments from 1, -1 outside",
            fill=-1,
        ),
        "foreground": ArraySpec(
            ("image", "soft_row", "soft_column"),
            "uint8",
            "of 255, rounded up: how sure a pixel is not to be background; no pixels unless the params ask for it",
        ),
        "size": ArraySpec(("image", "side"), "int32", "height and width, pixels"),
    },
    sizes=sizes,
    run=run,
    options=options_of,
)
