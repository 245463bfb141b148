"""Bring label maps to full size."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.artifact import START, ArraySpec
from usseg.pipeline.params import Params, refused, validate
from usseg.pipeline.execution import Execution
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.stage import Input, Stage


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
    from usseg.stages.refine.methods import METHODS

    return validate(
        params.options, METHODS[params.method].Options, where=f"params.yaml: refine.options ({params.method})"
    )


def check(sections: Mapping[str, Any]) -> None:
    """Refuse masks against all else where there is no background."""
    params = sections["refine"]
    if params.method == "crf" and options_of(params).labels == "each" and sections["segments"].background == "none":
        raise refused(
            "refine.options.labels",
            "each",
            "segments.background: none leaves no background; set it to border, or together here",
        )


def reads_clusters(params: RefineParams) -> bool:
    """Whether labels are those of clusters."""
    return params.source == "assign"


def reads_segments(params: RefineParams) -> bool:
    """Whether labels are those of segments."""
    return params.source == "segments"


def sizes(params: RefineParams, inputs: Inputs) -> Mapping[str, int | npt.NDArray[np.int64]]:
    """Pixels of each image."""
    pixels = inputs["index"]["size"][:].prod(axis=1, dtype=np.int64)
    return {"pixel": pixels, "soft_pixel": pixels if params.foreground else 0, "side": 2}


def run(params: RefineParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """Full-size maps of some images."""
    from usseg.stages.refine.coarse import CoarseMap
    from usseg.stages.refine.methods import METHODS

    method, options = METHODS[params.method], options_of(params)
    block = slice(images.start, images.stop)
    size = inputs["index"]["size"][block]
    source = inputs[params.source]
    extent, offset = inputs["features"]["extent"][block], inputs["features"]["offset"][block]
    grid = source["grid"][block]
    labels = source["labels" if reads_clusters(params) else "segments"]
    maps = np.empty(size.prod(axis=1, dtype=np.int64).sum(), np.int16)
    foreground = np.empty(len(maps) if params.foreground else 0, np.uint8)
    start = 0
    for row, image in enumerate(images):
        h, w = grid[row].tolist()
        height, width = size[row].tolist()
        coarse = CoarseMap(
            labels=labels[image, : h * w].reshape(h, w),
            size=(height, width),
            extent=tuple(extent[row].tolist()) if params.upsampling == "align" else None,
            image=inputs.image(image) if method.PIXELS else None,
            offset=tuple(offset[row].tolist()),
        )
        found, soft = method.refine(coarse, options)
        pixels = slice(start, start + height * width)
        maps[pixels] = found.reshape(-1)
        if params.foreground:
            foreground[pixels] = soft.reshape(-1)
        start = pixels.stop
        execution.progress(row + 1, len(images))
    return {"maps": maps, "foreground": foreground, "size": size}


STAGE = Stage(
    name="refine",
    summary="Bring label maps to the size of their images.",
    version=3,
    params=RefineParams,
    inputs=(
        *(Input("index"), Input("features")),
        *(Input("segments", needed=reads_segments), Input("assign", needed=reads_clusters)),
    ),
    arrays={
        "maps": ArraySpec(
            ("pixel",), "int16", "label a pixel: 0 background, clusters or segments from 1, -1 between blocks", fill=-1
        ),
        "foreground": ArraySpec(
            ("soft_pixel",),
            "uint8",
            "of 255, rounded up: how sure a pixel is not to be background; no pixels unless the params ask for it",
        ),
        "start": START,
        "size": ArraySpec(("image", "side"), "int32", "height and width, pixels"),
    },
    sizes=sizes,
    run=run,
    options=options_of,
    check=check,
)
