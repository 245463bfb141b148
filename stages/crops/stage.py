"""Embed every segment of a split."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.artifact import ArraySpec
from usseg.pipeline.errors import ImageError
from usseg.pipeline.execution import Execution
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.methods import Methods
from usseg.pipeline.parallel import thread_map
from usseg.pipeline.params import MethodParams
from usseg.pipeline.stage import Input, Stage


class CropsParams(MethodParams):
    """How the feature vector of a segment is computed."""

    method: str = Field("crop", description="a method of stages/crops/methods")


def methods() -> Methods[Any]:
    """The table of methods that embed segments."""
    from usseg.stages.crops.methods import METHODS

    return METHODS


def sizes(params: CropsParams, inputs: Inputs) -> Mapping[str, int | npt.NDArray[np.int64]]:
    """The segments of each image, at least 1, and the channels of the method."""
    counts = inputs["segments"]["num_segments"][:].astype(np.int64)
    channels = methods()[params.method].channels(params.options, inputs)
    return {"segment": np.maximum(1, counts), "channel": channels, "corner": 4}


def uses_device(params: CropsParams, inputs: Inputs) -> bool:
    """Whether the method calls a backbone that computes on the device."""
    return methods()[params.method].backbone and bool(inputs["features"].call("uses_device"))


def run(params: CropsParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """The segment features of a block of images."""
    from usseg.stages.crops.boxes import segment_boxes
    from usseg.stages.crops.method import BoxOptions, ImageSegments

    method, options = methods()[params.method], params.options
    assert isinstance(options, BoxOptions)
    features, source = inputs["features"], inputs["segments"]
    block = slice(images.start, images.stop)
    maps, grids, counts = source["segments"], source["grid"][block], source["num_segments"][block]
    strides, offsets = features["stride"][block], features["offset"][block]
    most = max(1, int(counts.max()))
    out = {
        "features": np.zeros((len(images), most, method.channels(options, inputs)), np.float32),
        "boxes": np.zeros((len(images), most, 4), np.int32),
        "area": np.zeros((len(images), most), np.float32),
        "num_segments": counts,
    }
    image_sizes = inputs["index"]["size"][block]
    rows = np.flatnonzero(counts).tolist()
    with thread_map(execution.decoders) as ahead:
        pixels = ahead(inputs.image, [images[row] for row in rows] if method.pixels else [])
        for row in rows:
            h, w = grids[row].tolist()
            count = int(counts[row])
            segments = maps[images[row], : h * w].reshape(h, w)
            _, boxes, masks = segment_boxes(segments, erode=options.erode, dilate=options.dilate)
            scale = np.tile(strides[row][::-1], 2)
            limits = np.tile(image_sizes[row][::-1], 2)
            out["boxes"][row, :count] = np.clip(np.rint(boxes * scale) + np.tile(offsets[row][::-1], 2), 0, limits)
            out["area"][row, :count] = np.bincount(segments.reshape(-1), minlength=count + 1)[1:] / segments.size
            image_segments = ImageSegments(
                labels=segments,
                boxes=boxes,
                masks=masks,
                image=next(pixels) if method.pixels else None,
                features=features,
                row=images[row],
                project=inputs.project,
                device=execution.device,
            )
            embedded = method.call(image_segments, options)
            good = np.isfinite(embedded).all(axis=1)
            if not good.all():
                raise ImageError(
                    f"crops@{inputs.split}: segment {int(np.argmin(good)) + 1} of image "
                    f"{inputs['index']['id'][images[row]]!r} has features that are not finite "
                    f"by crops.method: {params.method}; "
                    "take another method, other weights of the backbone, or features.options.precision: float32"
                )
            out["features"][row, :count] = embedded
            execution.progress(row + 1, len(images))
    return out


STAGE = Stage(
    name="crops",
    summary="Embed each segment: its crop, its masked crop, or the mean of its patches.",
    version=1,
    params=CropsParams,
    inputs=(
        Input("index"),
        Input("features", calls=("embed_crops", "embed_segments", "crop_channels", "uses_device")),
        Input("segments"),
    ),
    arrays={
        "features": ArraySpec(
            ("image", "segment", "channel"), "float32", "segment features; row s is segment s + 1; padded with 0"
        ),
        "boxes": ArraySpec(
            ("image", "segment", "corner"), "int32", "xmin, ymin, xmax, ymax, half open, pixels of the original image"
        ),
        "area": ArraySpec(("image", "segment"), "float32", "tokens of the segment as a share of the image's tokens"),
        "num_segments": ArraySpec(("image",), "int32", "number of segments of the image"),
    },
    sizes=sizes,
    run=run,
    methods=methods,
    gpu=uses_device,
    moved={key: f"options.{key}" for key in ("erode", "dilate", "spread")},
)
