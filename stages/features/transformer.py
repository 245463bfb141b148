"""The backbone that params name, loaded once a process, and what it says of images."""

import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.errors import ParamsError

F32 = npt.NDArray[np.float32]
FACETS = {"key": "k", "query": "q", "value": "v", "token": "tokens"}  # as `extract` names them
LOADING = threading.Lock()  # two blocks at a time ask for the same transformer


@lru_cache(maxsize=1)
def vit(project: Path, backbone: str, weights: str | None, posembed: str, num_heads: int | None, device: str) -> Any:
    """The transformer of these params, loaded once a process."""
    from usseg.stages.features.backbones import load_vit

    path = project / weights if weights else None
    return load_vit(backbone, weights=path, posembed=posembed, num_heads=num_heads, device=device)


def vit_of(params: Mapping[str, Any], project: Path, device: str) -> Any:
    """The transformer that a params mapping names."""
    with LOADING:
        return vit(project, params["backbone"], params["weights"], params["posembed"], params["num_heads"], device)


def patch_of(params: Mapping[str, Any], project: Path) -> tuple[int, int]:
    """Patch side in pixels and channels of the backbone."""
    if params["backbone"] == "lowlevel":
        from usseg.stages.features import lowlevel

        return params["stride"], lowlevel.channels()
    names = (params["backbone"], params["weights"], params["posembed"], params["num_heads"])
    return vit_patch(project, *names, FACETS[params["facet"]])


@lru_cache(maxsize=8)
def vit_patch(
    project: Path, backbone: str, weights: str | None, posembed: str, num_heads: int | None, facet: str
) -> tuple[int, int]:
    """Patch side and channels of a transformer that says something, kept apart from `vit`, which has room for one device only."""
    from usseg.stages.features.backbones import check_output

    with LOADING:
        model = vit(project, backbone, weights, posembed, num_heads, "cpu")
    check_output(model, facet)
    return model.patch_size, model.channels


def describe(
    params: Mapping[str, Any], pixels: Sequence[npt.NDArray[np.uint8]], project: Path, device: str
) -> dict[str, F32]:
    """Patch features and a whole-image feature of images of one size; for most ViTs also what `attention` stores.

    Returns:
        `patches` (image, token, channel), `cls` (image, channel); `values` and `class_state` as `image_features` gives them.
        Patches and values of a ViT have the params' `dtype`, all else is float32.
    """
    from usseg.stages.features.tokens import extended, grid_of

    if params["backbone"] == "lowlevel":
        from usseg.stages.features import lowlevel

        stride = params["stride"]
        rows, columns = grid_of(pixels[0].shape[:2], params["fit"], stride)
        grids = [
            lowlevel.describe(extended(image, (rows * stride, columns * stride)), stride=stride) for image in pixels
        ]
        stacked = np.stack([grid.reshape(-1, grid.shape[2]) for grid in grids])
        return {"patches": stacked, "cls": stacked.mean(axis=1)}
    import torch

    from usseg.stages.features.backbones import extract
    from usseg.stages.features.class_tokens import can_pack, image_features
    from usseg.stages.features.tokens import normalized

    model = vit_of(params, project, device)
    side = model.patch_size
    height, width = (length * side for length in grid_of(pixels[0].shape[:2], params["fit"], side))
    batch = normalized([image[:height, :width] for image in pixels], device, size=(height, width))
    facet = FACETS[params["facet"]]
    with arithmetic(params, device):
        if can_pack(model) and facet != "tokens":
            found = image_features(model, batch, facet)
        else:
            if params["attention"]:
                raise ParamsError(f"params.yaml: features.attention: not available for {params['backbone']}; set false")
            facets = extract(model, batch)
            found = {"patches": facets[facet][:, model.num_prefix :], "cls": facets["tokens"][:, 0]}
    stored = torch.float16 if params["dtype"] == "float16" else torch.float32
    kinds = {"patches": stored, "values": stored}
    return {name: values.to(kinds.get(name, torch.float32)).cpu().numpy() for name, values in found.items()}


def arithmetic(params: Mapping[str, Any], device: str) -> Any:
    """The context in which a ViT computes with the precision of these params."""
    import torch

    return torch.autocast(device.partition(":")[0], torch.bfloat16, enabled=params["precision"] == "bfloat16")
