"""Dump dense patch features of a split."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from pipeline.artifact import ArraySpec, Artifact
from pipeline.params import Params
from pipeline.stage import Execution, Input, Inputs, Stage

F32 = npt.NDArray[np.float32]


class FeaturesParams(Params):
    """What describes a patch."""

    backbone: str = Field("lowlevel", description="lowlevel, a timm ViT name, or checkpoint (shape read from weights)")
    facet: Literal["key", "query", "value", "token"] = Field("key", description="what a ViT's last block gives")
    resize: int | list[int] | None = Field(
        None, description="null: native size; an int bounds the longer side; [height, width]"
    )
    weights: str | None = Field(None, description="local .pth (official DINO layout) or .safetensors; null: the hub")
    posembed: Literal["auto", "dino", "dinov2", "timm"] = Field("auto", description="position embedding rule")
    num_heads: int | None = Field(None, description="attention heads of a checkpoint backbone; null: channels / 64")
    stride: int = Field(8, ge=1, description="patch side of lowlevel, pixels")
    dtype: Literal["float32", "float16"] = Field("float32", description="storage of patch features")

    @field_validator("resize")
    @classmethod
    def sizes_are_positive(cls, resize: int | list[int] | None) -> int | list[int] | None:
        """One or two positive sides."""
        sides = resize if isinstance(resize, list) else [resize or 1]
        if min(sides, default=0) < 1 or (isinstance(resize, list) and len(resize) != 2):
            raise ValueError("null, a positive int or [height, width] is allowed")
        return resize


@lru_cache(maxsize=1)
def vit(project: Path, backbone: str, weights: str | None, posembed: str, num_heads: int | None, device: str) -> Any:
    """The transformer of these params, loaded once a process."""
    from stages.features.backbones import load_vit

    path = project / weights if weights else None
    return load_vit(backbone, weights=path, posembed=posembed, num_heads=num_heads, device=device)


def vit_of(params: Mapping[str, Any], project: Path, device: str) -> Any:
    """The transformer that a params mapping names."""
    return vit(project, params["backbone"], params["weights"], params["posembed"], params["num_heads"], device)


def patch_of(params: Mapping[str, Any], project: Path) -> tuple[int, int]:
    """Patch side in pixels and channels of the backbone."""
    if params["backbone"] == "lowlevel":
        from stages.features import lowlevel

        return params["stride"], lowlevel.channels()
    model = vit_of(params, project, "cpu")
    return model.patch_size, model.channels


def sizes(params: FeaturesParams, inputs: Inputs) -> Mapping[str, int]:
    """Tokens of the largest grid, channels of the backbone."""
    from stages.features.tokens import resized_size

    patch, channels = patch_of(params.model_dump(), inputs.project)
    grids = [resized_size((h, w), params.resize, patch) for h, w in inputs["index"]["size"][:].tolist()]
    return {"token": max((h // patch) * (w // patch) for h, w in grids), "channel": channels, "side": 2}


def run(params: FeaturesParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """Features of a block of images; images of one size share a forward pass on a GPU, and never on a CPU.

    (On a CPU batches gain little, and one image at a time gives the same bits at every batch size.)
    """
    from stages.features.tokens import resize_image, resized_size

    settings = params.model_dump()
    patch, channels = patch_of(settings, inputs.project)
    tokens = sizes(params, inputs)["token"]
    out: dict[str, Any] = {
        "patches": np.zeros((len(images), tokens, channels), params.dtype),
        "cls": np.zeros((len(images), channels), np.float32),
        "grid": np.zeros((len(images), 2), np.int32),
        "stride": np.zeros((len(images), 2), np.float32),
        "extent": np.zeros((len(images), 2), np.int32),
    }
    all_sizes = inputs["index"]["size"][images.start : images.stop]
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for row, size in enumerate(all_sizes.tolist()):
        groups[resized_size(tuple(size), params.resize, patch)].append(row)
        used = resized_size(tuple(size), params.resize, patch)
        out["grid"][row] = [used[0] // patch, used[1] // patch]
        scale = np.asarray(size) / np.asarray(used)
        out["stride"][row] = patch * scale
        out["extent"][row] = np.clip(np.rint(out["grid"][row] * patch * scale), 1, size)
    batch = execution.batch_size if execution.device != "cpu" else 1
    for size, rows in groups.items():
        for start in range(0, len(rows), batch):
            part = rows[start : start + batch]
            pixels = [resize_image(inputs.image(images[row]), size) for row in part]
            patches, cls = describe(settings, pixels, inputs.project, execution.device)
            out["patches"][part, : patches.shape[1]] = patches
            out["cls"][part] = cls
    return out


def describe(
    params: Mapping[str, Any], pixels: Sequence[npt.NDArray[np.uint8]], project: Path, device: str
) -> tuple[F32, F32]:
    """Patch features (image, token, channel) and a whole-image feature (image, channel) of images of one size."""
    if params["backbone"] == "lowlevel":
        from stages.features import lowlevel

        grids = [lowlevel.describe(image, stride=params["stride"]) for image in pixels]
        stacked = np.stack([grid.reshape(-1, grid.shape[2]) for grid in grids])
        return stacked, stacked.mean(axis=1)
    import torch

    from stages.features.backbones import extract
    from stages.features.tokens import normalized

    model = vit_of(params, project, device)
    side = model.patch_size
    height, width = (length // side * side for length in pixels[0].shape[:2])
    batch = torch.from_numpy(np.stack([normalized(image[:height, :width]) for image in pixels])).to(device)
    facets = extract(model, batch)
    name = {"key": "k", "query": "q", "value": "v", "token": "tokens"}[params["facet"]]
    return facets[name][:, model.num_prefix :].cpu().numpy(), facets["tokens"][:, 0].cpu().numpy()


def crop_channels(artifact: Artifact, *, project: Path) -> int:
    """Length of a segment embedding by this artifact's backbone."""
    if artifact.params["backbone"] == "lowlevel":
        from stages.features import lowlevel

        return lowlevel.crop_channels()
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
    from stages.features.tokens import normalized, resize_image, resized_size

    params = artifact.params
    patch, channels = patch_of(params, project)
    pixels = resize_image(image, resized_size(image.shape[:2], params["resize"], patch))
    scaled = np.asarray(boxes, np.int32) * patch
    if params["backbone"] == "lowlevel":
        from stages.features import lowlevel

        return lowlevel.embed_crops(pixels, scaled, masks, stride=patch)
    import torch

    from stages.features.backbones import class_features

    model = vit_of(params, project, device)
    whole = normalized(pixels)
    out = np.zeros((len(boxes), channels), np.float32)
    for s, (x0, y0, x1, y1) in enumerate(scaled.tolist()):
        crop = torch.from_numpy(np.ascontiguousarray(whole[None, :, y0:y1, x0:x1])).to(device)
        mask = None if masks is None else torch.from_numpy(masks[s].reshape(1, -1)).to(device)
        out[s] = class_features(model, crop, mask).cpu().numpy()[0]
    return out


STAGE = Stage(
    name="features",
    summary="Dump dense patch features: DINO keys, any timm ViT, or the embedded lowlevel descriptor.",
    version=1,
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
            ("image", "side"), "int32", "rows and columns of original pixels that the grid covers, from the top left"
        ),
    },
    sizes=sizes,
    run=run,
    functions={"embed_crops": embed_crops, "crop_channels": crop_channels},
)
