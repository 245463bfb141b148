"""Embed every segment of a split."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.artifact import ArraySpec
from usseg.pipeline.errors import ImageError
from usseg.pipeline.execution import Execution
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.parallel import thread_map
from usseg.pipeline.params import Params, refused
from usseg.pipeline.stage import Input, Stage


class CropsParams(Params):
    """What describes a segment."""

    method: Literal["crop", "masked_attention", "masked_image", "mean"] = Field(
        "crop",
        description="crop: the backbone on the segment's box; masked_attention: its last layer sees the segment only; "
        "masked_image: its last layer on the whole image, one class token a segment (needs features.attention); "
        "mean: the mean of the segment's patch features",
    )
    erode: int = Field(2, ge=0, le=256, description="erosion steps before the box is drawn")
    dilate: int = Field(5, ge=0, le=256, description="dilation steps after")
    spread: bool = Field(False, description="mean: append the standard deviation of the patch features")


def check(sections: Mapping[str, Any]) -> None:
    """Refuse what the features do not hold."""
    if sections["crops"].method == "masked_image" and not sections["features"].attention:
        raise refused("crops.method", "masked_image", "it needs features.attention: true, of a ViT")


def sizes(params: CropsParams, inputs: Inputs) -> Mapping[str, int | npt.NDArray[np.int64]]:
    """Segments of each image, at least 1; channels by method."""
    counts = inputs["segments"]["num_segments"][:].astype(np.int64)
    return {"segment": np.maximum(1, counts), "channel": channels_of(params, inputs), "corner": 4}


def channels_of(params: CropsParams, inputs: Inputs) -> int:
    """Length of a segment's features."""
    features = inputs["features"]
    if params.method == "mean":
        return int(features["patches"].shape[2] * (2 if params.spread else 1))
    return int(features.call("crop_channels", project=inputs.project))


def runs_transformer(params: CropsParams, inputs: Inputs) -> bool:
    """Whether segments are embedded by a transformer."""
    return params.method != "mean" and inputs["features"].params["backbone"] != "lowlevel"


def run(params: CropsParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """Segment features of a block of images."""
    from usseg.stages.crops.boxes import segment_boxes
    from usseg.stages.crops.pooling import pool_segments

    features, source = inputs["features"], inputs["segments"]
    block = slice(images.start, images.stop)
    maps, grids, counts = source["segments"], source["grid"][block], source["num_segments"][block]
    strides, offsets = features["stride"][block], features["offset"][block]
    patches = features["patches"] if params.method == "mean" else None
    most = max(1, int(counts.max()))
    out = {
        "features": np.zeros((len(images), most, channels_of(params, inputs)), np.float32),
        "boxes": np.zeros((len(images), most, 4), np.int32),
        "area": np.zeros((len(images), most), np.float32),
        "num_segments": counts,
    }
    image_sizes = inputs["index"]["size"][block]
    where = {"project": inputs.project, "device": execution.device}
    rows = np.flatnonzero(counts).tolist()
    seen = rows if params.method in ("crop", "masked_attention") else []
    with thread_map(execution.decoders) as ahead:
        pixels = ahead(inputs.image, [images[row] for row in seen])
        for row in rows:
            h, w = grids[row].tolist()
            count = int(counts[row])
            segments = maps[images[row], : h * w].reshape(h, w)
            _, boxes, masks = segment_boxes(segments, erode=params.erode, dilate=params.dilate)
            scale = np.tile(strides[row][::-1], 2)
            limits = np.tile(image_sizes[row][::-1], 2)
            out["boxes"][row, :count] = np.clip(np.rint(boxes * scale) + np.tile(offsets[row][::-1], 2), 0, limits)
            out["area"][row, :count] = np.bincount(segments.reshape(-1), minlength=count + 1)[1:] / segments.size
            if patches is not None:
                tokens = patches[images[row], : h * w]
                embedded = pool_segments(tokens, segments.reshape(-1), count=count, spread=params.spread)
            elif params.method == "masked_image":
                embedded = features.call("embed_segments", images[row], segments.reshape(-1), count, **where)
            else:
                shown = masks if params.method == "masked_attention" else None
                embedded = features.call("embed_crops", next(pixels), boxes, shown, **where)
            good = np.isfinite(embedded).all(axis=1)
            if not good.all():
                raise ImageError(
                    f"crops@{inputs.split}: segment {int(np.argmin(good)) + 1} of image {inputs['index']['id'][images[row]]!r} has "
                    f"features that are not finite by crops.method: {params.method}; take another method, other features.weights, or "
                    "features.precision: float32"
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
        Input("features", calls=("embed_crops", "embed_segments", "crop_channels")),
        Input("segments"),
    ),
    arrays={
        "features": ArraySpec(
            ("image", "segment", "channel"), "float32", "segment features; row s is segment s + 1; padded with 0"
        ),
        "boxes": ArraySpec(
            ("image", "segment", "corner"), "int32", "xmin, ymin, xmax, ymax, half open, pixels of the original image"
        ),
        "area": ArraySpec(("image", "segment"), "float32", "share of the image's tokens"),
        "num_segments": ArraySpec(("image",), "int32", "segments of the image"),
    },
    sizes=sizes,
    run=run,
    check=check,
    gpu=runs_transformer,
)
