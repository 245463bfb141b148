"""Bring label maps to full size."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.artifact import START, ArraySpec
from usseg.pipeline.execution import Execution
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.methods import Methods
from usseg.pipeline.params import MethodParams
from usseg.pipeline.stage import Input, Stage

MOST_FILTERS = 16  # one after another


class RefineParams(MethodParams):
    """How pixels get their labels."""

    source: Literal["assign", "segments"] = Field(
        "assign", description="whose maps: the labels of clusters, or the segments of each image"
    )
    method: str | Annotated[list[str], Field(min_length=2, max_length=MOST_FILTERS)] = Field(
        "none",
        description="a filter of stages/refine/methods, or a list of them; then options hold those of each under its name",
    )
    upsampling: Literal["align", "stretch"] = Field(
        "align", description="stretch: the grid over the whole image, as DSM"
    )
    foreground: bool = Field(False, description="keep how sure each pixel is to be in an object, for maxF")

    def place_of(self, name: str) -> str:
        """The key below which params.yaml holds the options of a filter."""
        return "refine.options" if isinstance(self.method, str) else f"refine.options.{name}"


def methods() -> Methods[Any]:
    """The table of methods."""
    from usseg.stages.refine.methods import METHODS

    return METHODS


def reads(sections: Mapping[str, Any]) -> tuple[str, ...]:
    """The stage whose maps are refined."""
    return (sections["refine"].source,)


def sizes(params: RefineParams, inputs: Inputs) -> Mapping[str, int | npt.NDArray[np.int64]]:
    """Pixels of each image."""
    pixels = inputs["index"]["size"][:].prod(axis=1, dtype=np.int64)
    return {"pixel": pixels, "soft_pixel": pixels if params.foreground else 0, "side": 2}


def run(params: RefineParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """Full-size maps of some images."""
    from usseg.stages.refine.method import LabelMap

    method = methods().entry(params.method)
    block = slice(images.start, images.stop)
    size = inputs["index"]["size"][block]
    source = inputs[params.source]
    extent, offset = inputs["features"]["extent"][block], inputs["features"]["offset"][block]
    grid = source["grid"][block]
    labels = source["labels" if params.source == "assign" else "segments"]
    maps = np.empty(size.prod(axis=1, dtype=np.int64).sum(), np.int16)
    foreground = np.empty(len(maps) if params.foreground else 0, np.uint8)
    start = 0
    for row, image in enumerate(images):
        h, w = grid[row].tolist()
        height, width = size[row].tolist()
        given = LabelMap(
            labels=labels[image, : h * w].reshape(h, w),
            size=(height, width),
            extent=tuple(extent[row].tolist()) if params.upsampling == "align" else None,
            image=inputs.image(image) if method.pixels else None,
            offset=tuple(offset[row].tolist()),
        )
        found = method.call(given, params.options)
        pixels = slice(start, start + height * width)
        maps[pixels] = found.labels.reshape(-1)
        if params.foreground:
            foreground[pixels] = found.foreground.reshape(-1)
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
        *(Input("segments", when="asked"), Input("assign", when="asked")),
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
    methods=methods,
    reads=reads,
)
