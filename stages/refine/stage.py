"""Bring label maps to the size of their images."""

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

MOST_FILTERS = 16  # largest number of filters in a sequence


class RefineParams(MethodParams):
    """How the pixels of an image get their labels."""

    source: Literal["assign", "segments"] = Field(
        "assign", description="the maps that are refined: assign, labels of clusters; segments, segments of each image"
    )
    method: str | Annotated[list[str], Field(min_length=2, max_length=MOST_FILTERS)] = Field(
        "none",
        description="a filter of stages/refine/methods, or a list; options of a list are grouped by filter name",
    )
    upsampling: Literal["align", "stretch"] = Field(
        "align", description="align: the grid covers its own pixels; stretch: the whole image (DSM)"
    )
    foreground: bool = Field(False, description="store the foreground probability of each pixel, for maxF")

    def place_of(self, name: str) -> str:
        """The key of the options of a filter in params.yaml."""
        return "refine.options" if isinstance(self.method, str) else f"refine.options.{name}"


def methods() -> Methods[Any]:
    """The table of filters."""
    from usseg.stages.refine.methods import METHODS

    return METHODS


def reads(sections: Mapping[str, Any]) -> tuple[str, ...]:
    """The stage whose maps are refined."""
    return (sections["refine"].source,)


def sizes(params: RefineParams, inputs: Inputs) -> Mapping[str, int | npt.NDArray[np.int64]]:
    """The number of pixels of each image."""
    pixels = inputs["index"]["size"][:].prod(axis=1, dtype=np.int64)
    return {"pixel": pixels, "soft_pixel": pixels if params.foreground else 0, "side": 2}


def run(params: RefineParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """The maps of a block of images at full size."""
    from usseg.stages.refine.method import LabelMap

    method = methods().entry(params.method)
    block = slice(images.start, images.stop)
    size = inputs["index"]["size"][block]
    source = inputs[params.source]
    extent, offset = inputs["features"]["extent"][block], inputs["features"]["offset"][block]
    grid = source["grid"][block]
    labels = source["labels" if params.source == "assign" else "segments"]
    fine = "segmenter" in method.reads(params.options)
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
            fine=fine_share(inputs, image, execution.device, params.upsampling) if fine else None,
            unseen=1 if params.source == "segments" else 0,
        )
        refined = method.call(given, params.options)
        pixels = slice(start, start + height * width)
        maps[pixels] = refined.labels.reshape(-1)
        if params.foreground:
            foreground[pixels] = refined.foreground.reshape(-1)
        start = pixels.stop
        execution.progress(row + 1, len(images))
    return {"maps": maps, "foreground": foreground, "size": size}


def fine_share(inputs: Inputs, image: int, device: str, upsampling: str) -> npt.NDArray[np.float32]:
    """The foreground probability of each pixel by the fine branch of the trained segmenter: float32 (height, width)."""
    from usseg.stages.grids.upsampling import upsample_shares

    features, pixels = inputs["features"], inputs.image(image)
    h, w = features["grid"][image].tolist()
    tokens = features["patches"][image, : h * w].astype(np.float32).reshape(h, w, -1)
    extent, offset = (tuple(features[name][image].tolist()) for name in ("extent", "offset"))
    where: Any = {"extent": extent, "offset": offset}
    mask = inputs["segmenter"].call("fine_mask", pixels, tokens, **where, device=device)
    height, width = pixels.shape[:2]
    used = extent if upsampling == "align" else None
    return upsample_shares(mask, (height, width), extent=used, offset=offset)


STAGE = Stage(
    name="refine",
    summary="Bring label maps to the size of their images.",
    version=3,
    params=RefineParams,
    inputs=(
        *(Input("index"), Input("features")),
        Input("segmenter", "fit", when="asked", calls=("fine_mask",)),
        *(Input("segments", when="asked"), Input("assign", when="asked")),
    ),
    arrays={
        "maps": ArraySpec(
            ("pixel",),
            "int16",
            "label of each pixel: 0 background, clusters or segments from 1, -1 between blocks",
            fill=-1,
        ),
        "foreground": ArraySpec(
            ("soft_pixel",),
            "uint8",
            "255 times the foreground probability, rounded up; no pixels unless `foreground` is set",
        ),
        "start": START,
        "size": ArraySpec(("image", "side"), "int32", "height and width, pixels"),
    },
    sizes=sizes,
    run=run,
    methods=methods,
    reads=reads,
    shares=("grids",),
)
