"""The loaded backbone of the params. It is loaded once in each process for each device."""

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from usseg.stages.features.method import F32, Backbone, Pixels
from usseg.stages.features.methods import METHODS

LOADING = threading.Lock()  # two blocks in two threads may need the same backbone at once


@lru_cache(maxsize=1)
def loaded(project: Path, name: str, options: str, device: str) -> Backbone:
    """The backbone of these options, given as JSON. The last loaded backbone is kept."""
    method = METHODS[name]
    return method.call(method.options.model_validate_json(options), project, device)


def backbone_of(params: Mapping[str, Any], project: Path, device: str) -> Backbone:
    """The backbone of the recorded params of stage features."""
    with LOADING:
        return loaded(project, params["backbone"], json.dumps(params["options"], sort_keys=True), device)


def shape_of(params: Mapping[str, Any], project: Path) -> tuple[int, int, int]:
    """The side of a patch in pixels, the channels of a token, and the channels of a segment."""
    return shape(project, params["backbone"], json.dumps(params["options"], sort_keys=True))


@lru_cache(maxsize=8)
def shape(project: Path, name: str, options: str) -> tuple[int, int, int]:
    """`shape_of` with hashable arguments. It has a cache of its own, because `loaded` keeps one device only."""
    with LOADING:
        found = loaded(project, name, options, "cpu")
    return found.patch, found.channels, found.crop_channels


def describe_resized(params: Mapping[str, Any], images: Sequence[Pixels], *, project: Path, device: str) -> F32:
    """Describe images that are already resized.

    Args:
        params: the recorded params of stage features.
        images: uint8 RGB (height, width, 3), all of one size, whole patches.
        project: folder at which a relative path of weights starts.
        device: a torch device. On the CPU each image has its own forward pass, as in the stage.

    Returns:
        float32 (image, token, channel), not normalised.
    """
    backbone = backbone_of(params, project, device)
    grid = (images[0].shape[0] // backbone.patch, images[0].shape[1] // backbone.patch)
    groups = [[image] for image in images] if device == "cpu" else [images]
    tokens = [backbone.describe(group, grid, "float32")["patches"] for group in groups]
    return np.concatenate(tokens).astype(np.float32, copy=False)


def network_digest(params: Mapping[str, Any], project: Path) -> str:
    """A digest of the trained weights of a backbone; empty for a backbone without.

    It depends on the shapes and the float32 values of the tensors, but not on their names and order, which differ
    between versions of timm.

    Raises:
        WeightsError: the backbone cannot be loaded.
    """
    network = backbone_of(params, project, "cpu").network()
    if network is None:
        return ""
    tensors = (tensor.detach().cpu().float().contiguous().numpy() for tensor in network.state_dict().values())
    digests = (hashlib.sha256(f"{tensor.shape}".encode() + tensor.tobytes()).hexdigest() for tensor in tensors)
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()
