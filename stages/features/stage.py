"""Dump dense patch features of a split."""

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
from usseg.pipeline.parallel import thread_map
from usseg.pipeline.params import Params, refused
from usseg.pipeline.stage import Input, Stage

F32 = npt.NDArray[np.float32]
Side = Annotated[int, Field(ge=1, le=16384)]  # pixels
ROTARY = ("dinov3", "eva02", "rope", "pe_core", "pe_lang", "pe_spatial")  # in the names of timm


class FeaturesParams(Params):
    """What describes a patch."""

    backbone: str = Field("lowlevel", description="lowlevel, a timm ViT name, or checkpoint (shape read from weights)")
    facet: Literal["key", "query", "value", "token"] = Field("key", description="what a ViT's last block gives")
    resize: Side | Annotated[list[Side], Field(min_length=2, max_length=2)] | None = Field(
        None, description="null: native size; an int bounds the longer side; [height, width]"
    )
    fit: Literal["crop", "pad", "resize", "square"] = Field(
        "crop",
        description="crop: whole patches, up to one is left out at the right and bottom; pad: one more there, zeros for a ViT, the last "
        "pixels for lowlevel; resize: to the nearest multiple of a patch; square: the shorter side becomes `resize`, then the square in the middle",
    )
    weights: str | None = Field(None, description="local .pth (official DINO layout) or .safetensors; null: the hub")
    posembed: Literal["auto", "dino", "dinov2", "timm"] = Field("auto", description="position embedding rule")
    num_heads: int | None = Field(
        None, ge=1, le=256, description="attention heads of a checkpoint backbone; null: channels / 64"
    )
    stride: int = Field(8, ge=1, le=256, description="patch side of lowlevel, pixels")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="arithmetic of a ViT's linear layers; bfloat16 is faster and off by 1e-2"
    )
    attention: bool = Field(
        False, description="also store what crops.method masked_image needs; twice the bytes, for facet key of a ViT"
    )
    dtype: Literal["float32", "float16"] = Field("float32", description="storage of patch features")


def is_transformer(params: FeaturesParams, inputs: Inputs) -> bool:
    """Whether there is something for a GPU; `lowlevel` runs on the CPU."""
    return params.backbone != "lowlevel"


def sizes(params: FeaturesParams, inputs: Inputs) -> Mapping[str, int | npt.NDArray[np.int64]]:
    """Tokens of each image, channels of the backbone; values and states only where `attention` asks for them."""
    from usseg.stages.features.tokens import fitting
    from usseg.stages.features.transformer import patch_of

    patch, channels = patch_of(params.model_dump(), inputs.project)
    grids = [fitting((h, w), params.resize, params.fit, patch).grid for h, w in inputs["index"]["size"][:].tolist()]
    token = np.array([rows * columns for rows, columns in grids], np.int64)
    kept = 1 if params.attention else 0
    return {"token": token, "channel": channels, "side": 2, "value": kept * token, "state": kept * 2}


def run(params: FeaturesParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """Features of a block of images; images of one size share a forward pass on a GPU, and never on a CPU.

    (On a CPU batches gain little, and one image at a time gives the same bits at every batch size.)
    """
    from usseg.stages.features.tokens import Fitting, fitted_image, fitting
    from usseg.stages.features.transformer import describe, patch_of

    settings = params.model_dump()
    patch, channels = patch_of(settings, inputs.project)
    all_sizes = inputs["index"]["size"][images.start : images.stop]
    fitted = [fitting((h, w), params.resize, params.fit, patch) for h, w in all_sizes.tolist()]
    tokens = max(one.grid[0] * one.grid[1] for one in fitted)
    kept = 1 if params.attention else 0
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
    with thread_map(execution.decoders) as ahead:
        for (_, rows), pixels in zip(parts, ahead(pixels_of, parts), strict=True):
            found = describe(settings, pixels, inputs.project, execution.device)
            for name in (name for name in ("patches", "values", "cls", "class_state") if out[name].size):
                refuse_infinite(params, name, found[name], [images[row] for row in rows], inputs)
                out[name][rows, : found[name].shape[1]] = found[name]
            done += len(rows)
            execution.progress(done, len(images))
    return out


def refuse_infinite(
    params: FeaturesParams, name: str, found: npt.NDArray[Any], images: Sequence[int], inputs: Inputs
) -> None:
    """Refuse features that are not finite, or beyond what float16 holds.

    Args:
        params: of the stage.
        name: the array.
        found: (image, ..., channel), in the dtype that is stored.
        images: their numbers in the split.
        inputs: with the index, for their ids.

    Raises:
        ParamsError: names the first image, and what helps.
    """
    good = np.isfinite(found).all(axis=tuple(range(1, found.ndim)))
    if good.all():
        return
    row = int(np.argmin(good))
    image = f"{name} of image {inputs['index']['id'][images[row]]!r}"
    if found.dtype == np.float16 and not np.isnan(found[row]).any():
        raise refused("features.dtype", params.dtype, f"{image} go beyond the 65504 that it holds; set float32")
    raise refused(
        "features.weights", params.weights, f"{image} are not finite; take another checkpoint, or precision: float32"
    )


def is_rotary(backbone: str) -> bool:
    """Whether the backbone places its tokens by rotation, block by block, as its name tells."""
    return any(part in backbone for part in ROTARY)


def check(sections: Mapping[str, Any]) -> None:
    """Refuse what the backbone has not."""
    params = sections["features"]
    if params.fit == "square" and not isinstance(params.resize, int):
        raise refused("features.resize", params.resize, "fit: square needs a number, pixels of the shorter side")
    for key, value in (("refine.upsampling", "stretch"), ("eigen.color_align", "full")):
        section, _, name = key.partition(".")
        if params.fit in ("pad", "square") and getattr(sections[section], name) == value:
            raise refused(
                key,
                value,
                f"with features.fit: {params.fit} the grid does not end with the image; take another of either",
            )
    if params.backbone == "checkpoint" and params.weights is None:
        raise refused("features.weights", None, "backbone: checkpoint needs a local file")
    if params.backbone == "lowlevel" and params.weights is not None:
        raise refused(
            "features.weights", params.weights, "backbone: lowlevel has none; set null, or backbone: checkpoint"
        )
    for key, unread in (("facet", "key"), ("posembed", "auto"), ("precision", "float32")):
        if params.backbone == "lowlevel" and getattr(params, key) != unread:
            raise refused(
                f"features.{key}",
                getattr(params, key),
                f"backbone: lowlevel has none; set {unread}, or a ViT as backbone",
            )
    if params.backbone != "checkpoint" and params.num_heads is not None:
        raise refused("features.num_heads", params.num_heads, "null is allowed where backbone is not checkpoint")
    if params.attention and (params.backbone == "lowlevel" or is_rotary(params.backbone)):
        raise refused(
            "features.attention",
            True,
            f"backbone: {params.backbone} has none to store; set false, or DINO's or DINOv2's ViT",
        )
    if params.attention and params.facet != "key":
        raise refused(
            "features.attention", True, f"it is stored beside facet: key, not {params.facet}; set false or facet: key"
        )
    if is_rotary(params.backbone) and sections["crops"].method == "masked_attention":
        raise refused(
            "crops.method",
            "masked_attention",
            f"features.backbone: {params.backbone} is rotary, without it; use crop or mean",
        )


def crop_channels(artifact: Artifact, *, project: Path) -> int:
    """Length of a segment embedding by this artifact's backbone."""
    if artifact.params["backbone"] == "lowlevel":
        from usseg.stages.features import lowlevel

        return lowlevel.crop_channels()
    from usseg.stages.features.transformer import patch_of

    return patch_of(artifact.params, project)[1]


def embed_crops(
    artifact: Artifact,
    image: npt.NDArray[np.uint8],
    boxes: npt.NDArray[np.int32],
    masks: Sequence[npt.NDArray[np.bool_]] | None,
    *,
    project: Path,
    device: str,
) -> F32:
    """Embed segments with this artifact's backbone: the class token of each crop, or lowlevel's own embedding.

    Args:
        artifact: the features artifact.
        image: uint8 RGB (height, width, 3), native size.
        boxes: int32 (segment, 4) on the feature grid: xmin, ymin, xmax, ymax in tokens, half open.
        masks: bool (row, column) on the tokens of each box, for masked attention; None: the whole crop.
        project: where a relative weights path starts.
        device: where to run.

    Returns:
        float32 (segment, channel).

    Source: DSM, crops sliced from the normalised image without resizing; spec of masked attention: semester report, section 3.1.
    """
    from usseg.stages.features.tokens import extended, fitted_image, fitting, normalized
    from usseg.stages.features.transformer import arithmetic, patch_of, vit_of

    params = artifact.params
    patch, channels = patch_of(params, project)
    fitted = fitting(image.shape[:2], params["resize"], params["fit"], patch)
    pixels = fitted_image(image, fitted, patch)
    covered = (fitted.grid[0] * patch, fitted.grid[1] * patch)
    scaled = np.asarray(boxes, np.int32) * patch
    if params["backbone"] == "lowlevel":
        from usseg.stages.features import lowlevel

        return lowlevel.embed_crops(extended(pixels, covered), scaled, masks, stride=patch)
    import torch

    from usseg.stages.features.backbones import class_features
    from usseg.stages.features.class_tokens import can_pack, crop_class_features

    model = vit_of(params, project, device)
    whole = normalized([pixels], device, size=covered)
    out = np.zeros((len(boxes), channels), np.float32)
    with arithmetic(params, device):
        if can_pack(model):
            return crop_class_features(model, whole, boxes, masks).float().cpu().numpy() if len(boxes) else out
        for s, (x0, y0, x1, y1) in enumerate(scaled.tolist()):
            mask = None if masks is None else torch.from_numpy(masks[s].reshape(1, -1)).to(device)
            out[s] = class_features(model, whole[:, :, y0:y1, x0:x1], mask).float().cpu().numpy()[0]
    return out


def embed_segments(
    artifact: Artifact, row: int, segments: npt.NDArray[np.integer], count: int, *, project: Path, device: str
) -> F32:
    """Embed segments by one class token each in the last block of the whole image, from what `attention` stored.

    Args:
        artifact: the features artifact.
        row: the image.
        segments: segment of each of its tokens; 1 to `count` are embedded.
        count: segments.
        project: where a relative weights path starts.
        device: where to run.

    Returns:
        float32 (segment, channel).
    """
    import torch

    from usseg.stages.features.class_tokens import segment_class_features
    from usseg.stages.features.transformer import arithmetic, vit_of

    params = artifact.params
    model = vit_of(params, project, device)
    nodes = len(segments)
    keys, values, state = (
        torch.from_numpy(artifact[name][row, :length].astype(np.float32)).to(device)
        for name, length in (("patches", nodes), ("values", nodes), ("class_state", 2))
    )
    where = torch.from_numpy(segments.astype(np.int64)).to(device)
    with arithmetic(params, device):
        found = segment_class_features(model, keys, values, state, where, count=count)
    embedded: F32 = found.float().cpu().numpy()
    return embedded


STAGE = Stage(
    name="features",
    summary="Dump dense patch features: DINO keys, any timm ViT, or the embedded lowlevel descriptor.",
    version=3,
    params=FeaturesParams,
    inputs=(Input("index"),),
    arrays={
        "patches": ArraySpec(
            ("image", "token", "channel"), "float32|float16", "patch features, row-major, not normalised; padded with 0"
        ),
        "cls": ArraySpec(
            ("image", "channel"), "float32", "class token after the final norm; lowlevel: mean descriptor"
        ),
        "grid": ArraySpec(("image", "side"), "int32", "rows and columns of patches"),
        "stride": ArraySpec(("image", "side"), "float32", "height and width of a patch, pixels of the original image"),
        "extent": ArraySpec(
            ("image", "side"),
            "int32",
            "rows and columns of original pixels under the grid; of fit pad beyond the image",
        ),
        "offset": ArraySpec(
            ("image", "side"), "int32", "first row and column of original pixels under the grid: 0, but of fit square"
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
    files=lambda params: [params.weights] if params.weights else [],
    gpu=is_transformer,
    functions={"embed_crops": embed_crops, "embed_segments": embed_segments, "crop_channels": crop_channels},
)
