"""Compute dense patch features of a split."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.artifact import ArraySpec, Artifact
from usseg.pipeline.execution import Execution
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.methods import Methods
from usseg.pipeline.parallel import thread_map
from usseg.pipeline.params import PARAMS_FILE, MethodParams, refused, say_once
from usseg.pipeline.stage import Input, Stage

F32 = npt.NDArray[np.float32]
Side = Annotated[int, Field(ge=1, le=16384)]  # pixels


class FeaturesParams(MethodParams):
    """How the features of a patch are computed."""

    backbone: str = Field("lowlevel", description="a backbone of stages/features/methods")
    resize: Side | Annotated[list[Side], Field(min_length=2, max_length=2)] | None = Field(
        None,
        description="null: native size; an int: largest longer side, pixels; [height, width]: exact size",
    )
    fit: Literal["crop", "pad", "resize", "square"] = Field(
        "crop",
        description="crop: whole patches, the rest at the right and bottom is left out; pad: the image is extended to "
        "whole patches; resize: each side becomes the nearest multiple of a patch; square: the shorter side becomes "
        "`resize`, and the central square is kept",
    )
    dtype: Literal["float32", "float16"] = Field("float32", description="dtype in which patch features are stored")


def methods() -> Methods[Any]:
    """The table of backbones."""
    from usseg.stages.features.methods import METHODS

    return METHODS


def former(values: dict[str, Any]) -> dict[str, Any]:
    """Translate a section of an earlier version, whose `backbone` was the name of a timm transformer."""
    name, options = values.get("backbone"), values.get("options", {})
    # Names of timm transformers contain "_", and names of backbones do not: a misspelt backbone is not translated.
    if not isinstance(name, str) or "_" not in name or name in methods() or not isinstance(options, dict):
        return values
    say_once(f"{PARAMS_FILE}: features.backbone: {name} is backbone: vit with options.name: {name} now")
    return {**values, "backbone": "vit", "options": {**options, "name": name}}


def files_of(params: FeaturesParams) -> Sequence[str]:
    """The files that the backbone reads, for the cache key."""
    return list(methods()[params.backbone].files(params.options))


def stores_attention(params: FeaturesParams) -> int:
    """1 where `values` and `class_state` are stored, else 0."""
    return int(getattr(params.options, "attention", False))


def sizes(params: FeaturesParams, inputs: Inputs) -> Mapping[str, int | npt.NDArray[np.int64]]:
    """The tokens of each image, and the channels of the backbone.

    Values and class states have size 0 without `attention`.
    """
    from usseg.stages.features.backbone_cache import shape_of
    from usseg.stages.features.fitting import fitting

    patch, channels, _ = shape_of(params.model_dump(mode="json"), inputs.project)
    grids = [fitting((h, w), params.resize, params.fit, patch).grid for h, w in inputs["index"]["size"][:].tolist()]
    token = np.array([rows * columns for rows, columns in grids], np.int64)
    kept = stores_attention(params)
    return {"token": token, "channel": channels, "side": 2, "value": kept * token, "state": kept * 2}


def run(params: FeaturesParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """The features of a block of images. On a GPU, images of one size share a forward pass.

    On a CPU each image has its own forward pass: batches gain little, and the bytes do not depend on the batch size.
    """
    from usseg.stages.features.backbone_cache import backbone_of, shape_of
    from usseg.stages.features.finite_features import refuse_infinite
    from usseg.stages.features.fitting import Fitting, fitted_image, fitting

    settings = params.model_dump(mode="json")
    patch, channels, _ = shape_of(settings, inputs.project)
    all_sizes = inputs["index"]["size"][images.start : images.stop]
    fitted = [fitting((h, w), params.resize, params.fit, patch) for h, w in all_sizes.tolist()]
    tokens = max(one.grid[0] * one.grid[1] for one in fitted)
    kept = stores_attention(params)
    out: dict[str, Any] = {
        "patches": np.zeros((len(images), tokens, channels), params.dtype),
        "values": np.zeros((len(images), kept * tokens, channels), params.dtype),
        "class_state": np.zeros((len(images), kept * 2, channels), np.float32),
        "cls": np.zeros((len(images), channels), np.float32),
        "grid": np.zeros((len(images), 2), np.int32),
        "stride": np.zeros((len(images), 2), np.float32),
        "extent": np.zeros((len(images), 2), np.int32),
        "offset": np.zeros((len(images), 2), np.int32),
    }
    groups: dict[Fitting, list[int]] = defaultdict(list)
    for row, (size, used) in enumerate(zip(all_sizes.tolist(), fitted, strict=True)):
        groups[used].append(row)
        out["grid"][row] = used.grid
        scale = np.asarray(size) / np.asarray(used.size)
        out["stride"][row] = patch * scale
        out["offset"][row] = np.clip(np.rint(used.offset * scale), 0, np.asarray(size) - 1)
        extent = np.maximum(np.rint(out["grid"][row] * patch * scale), 1)
        out["extent"][row] = extent if params.fit == "pad" else np.minimum(extent, size - out["offset"][row])
    batch = execution.batch_size if execution.device != "cpu" else 1
    parts = [(used, rows[i : i + batch]) for used, rows in groups.items() for i in range(0, len(rows), batch)]

    def pixels_of(part: tuple[Fitting, list[int]]) -> list[npt.NDArray[np.uint8]]:
        return [fitted_image(inputs.image(images[row]), part[0], patch) for row in part[1]]

    done = 0
    backbone = backbone_of(settings, inputs.project, execution.device)
    with thread_map(execution.decoders) as ahead:
        for (used, rows), pixels in zip(parts, ahead(pixels_of, parts), strict=True):
            described = backbone.describe(pixels, used.grid, params.dtype)
            for name in (name for name in ("patches", "values", "cls", "class_state") if out[name].size):
                with np.errstate(over="ignore"):  # `refuse_infinite` refuses an overflow
                    stored = described[name].astype(out[name].dtype, copy=False)
                refuse_infinite(params, name, stored, [images[row] for row in rows], inputs)
                out[name][rows, : stored.shape[1]] = stored
            done += len(rows)
            execution.progress(done, len(images))
    return out


def check(sections: Mapping[str, Any]) -> None:
    """Refuse values of `features.resize` and `refine.upsampling` that do not fit `features.fit`.

    Raises:
        ParamsError: names the key, the value and what is allowed.
    """
    params = sections["features"]
    if params.fit == "square" and not isinstance(params.resize, int):
        raise refused("features.resize", params.resize, "fit: square needs a number, pixels of the shorter side")
    if params.fit in ("pad", "square") and sections["refine"].upsampling == "stretch":
        raise refused(
            "refine.upsampling",
            "stretch",
            f"with features.fit: {params.fit} the grid does not end with the image; take another of either",
        )


def crop_channels(artifact: Artifact, *, project: Path) -> int:
    """The number of channels of a segment that this artifact's backbone embeds."""
    from usseg.stages.features.backbone_cache import shape_of

    return shape_of(artifact.params, project)[2]


def patch_side(artifact: Artifact, *, project: Path) -> int:
    """The side in pixels of a patch of this artifact's backbone."""
    from usseg.stages.features.backbone_cache import shape_of

    return shape_of(artifact.params, project)[0]


def describe(artifact: Artifact, images: Sequence[npt.NDArray[np.uint8]], *, project: Path, device: str) -> F32:
    """The tokens of resized images, uint8 RGB of one size and of whole patches: float32 (image, token, channel)."""
    from usseg.stages.features.backbone_cache import describe_resized

    return describe_resized(artifact.params, images, project=project, device=device)


def uses_device(artifact: Artifact) -> bool:
    """Whether this artifact's backbone computes on the execution's device."""
    method = methods()[artifact.params["backbone"]]
    return method.gpu(method.options.model_validate(artifact.params["options"]))


def embed_crops(
    artifact: Artifact,
    image: npt.NDArray[np.uint8],
    boxes: npt.NDArray[np.int32],
    masks: Sequence[npt.NDArray[np.bool_]] | None,
    *,
    project: Path,
    device: str,
) -> F32:
    """Embed segments with this artifact's backbone from the pixels of their boxes.

    Args:
        artifact: the features artifact.
        image: uint8 RGB (height, width, 3), native size.
        boxes, masks: as in `Backbone.embed_crops`.
        project: folder at which a relative path of weights starts.
        device: a torch device.

    Returns:
        float32 (segment, channel).
    """
    from usseg.stages.features.backbone_cache import backbone_of
    from usseg.stages.features.fitting import fitted_image, fitting

    params = artifact.params
    backbone = backbone_of(params, project, device)
    fitted = fitting(image.shape[:2], params["resize"], params["fit"], backbone.patch)
    pixels = fitted_image(image, fitted, backbone.patch)
    return backbone.embed_crops(pixels, fitted.grid, np.asarray(boxes, np.int32), masks)


def embed_segments(
    artifact: Artifact, row: int, segments: npt.NDArray[np.integer], count: int, *, project: Path, device: str
) -> F32:
    """Embed segments from the arrays that `attention: true` stored for the whole image.

    Args:
        artifact: the features artifact.
        row: row of the image in the split.
        segments, count: as in `Backbone.embed_segments`.
        project: folder at which a relative path of weights starts.
        device: a torch device.

    Returns:
        float32 (segment, channel).
    """
    from usseg.stages.features.backbone_cache import backbone_of

    nodes = len(segments)
    stored = {
        name: artifact[name][row, :length].astype(np.float32)
        for name, length in (("patches", nodes), ("values", nodes), ("class_state", 2))
    }
    backbone = backbone_of(artifact.params, project, device)
    return backbone.embed_segments(stored, segments.astype(np.int64), count=count)


STAGE = Stage(
    name="features",
    summary="Compute dense patch features: DINO keys, any timm network, or the embedded lowlevel descriptor.",
    version=3,
    params=FeaturesParams,
    inputs=(Input("index"),),
    arrays={
        "patches": ArraySpec(
            ("image", "token", "channel"), "float32|float16", "patch features, row-major, not normalised; padded with 0"
        ),
        "cls": ArraySpec(
            ("image", "channel"),
            "float32",
            "class token after the final norm; the mean of the patches for a backbone without class token",
        ),
        "grid": ArraySpec(("image", "side"), "int32", "rows and columns of patches"),
        "stride": ArraySpec(("image", "side"), "float32", "height and width of a patch, pixels of the original image"),
        "extent": ArraySpec(
            ("image", "side"),
            "int32",
            "height and width of the grid in original pixels; with fit: pad it may exceed the image",
        ),
        "offset": ArraySpec(
            ("image", "side"),
            "int32",
            "row and column of the first original pixel under the grid; 0 but for fit: square",
        ),
        "values": ArraySpec(
            ("image", "value", "channel"),
            "float32|float16",
            "values of the patches in the last block; with attention only",
        ),
        "class_state": ArraySpec(
            ("image", "state", "channel"),
            "float32",
            "the class token's query in the last block, and the class token before it; with attention only",
        ),
    },
    sizes=sizes,
    run=run,
    check=check,
    files=files_of,
    methods=methods,
    choice="backbone",
    offers={
        "embed_crops": embed_crops,
        "embed_segments": embed_segments,
        **{"crop_channels": crop_channels, "patch_side": patch_side},
        **{"uses_device": uses_device, "describe": describe},
    },
    former=former,
    moved={
        key: f"options.{key}"
        for key in ("facet", "weights", "posembed", "num_heads", "stride", "precision", "attention")
    },
)
