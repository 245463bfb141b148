"""Convolutional networks: the map of one layer.

Letters: B images, C channels, h rows and w columns of the map.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from usseg.pipeline.errors import WeightsError
from usseg.pipeline.params import refused
from usseg.stages.features.checkpoints import load_map, read_network
from usseg.stages.features.networks import check_name, frozen, timm_model


@dataclass(frozen=True)
class CNN:
    """A network of timm up to the layer whose map has one vector every `stride` pixels.

    `mean` and `std` are those by which its training normalised the channels of an image.
    """

    model: Any
    name: str
    stride: int
    channels: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def load_cnn(name: str, *, stride: int, weights: Path | None, device: str = "cpu") -> CNN:
    """Load a convolutional network by its timm name, from the hub or from a local file.

    Args:
        name: a timm name (`resnet50.a1_in1k`).
        stride: pixels between two vectors of the map.
        weights: `.pth` or `.safetensors` with timm's keys; None: timm's hub.
        device: where to run.

    Raises:
        WeightsError: unknown name, no network of this kind, unreadable or unfit weights, no way to download.
        ParamsError: no layer has this stride.
    """
    state = None if weights is None else read_network(weights)
    layer = layer_of(name, stride, pretrained=state is None)
    model = timm_model(name, pretrained=state is None, features_only=True, out_indices=(layer,))
    settings, channels = model.pretrained_cfg, int(model.feature_info.channels()[0])
    cnn = CNN(frozen(model, "cpu"), name, stride, channels, tuple(settings["mean"]), tuple(settings["std"]))
    check_size(cnn)
    if state is not None:
        load_map(model, state, str(weights))
    check_content(cnn)
    model.to(device)
    return cnn


def layer_of(name: str, stride: int, *, pretrained: bool) -> int:
    """The number, as timm counts, of the last layer whose map has this stride.

    Raises:
        WeightsError: unknown name, or timm gives no maps of its layers.
        ParamsError: no layer has this stride.
    """
    import timm

    check_name(name, pretrained=pretrained)
    try:
        info: Any = timm.create_model(name, features_only=True).feature_info
    except (RuntimeError, ValueError, TypeError, AttributeError):  # whatever a model raises that has no such maps
        raise no_maps(name) from None
    strides = info.reduction()
    if stride not in strides:
        known = ", ".join(map(str, sorted(set(strides))))
        raise refused("features.options.stride", stride, f"name: {name} has maps of {known} pixels; take one of these")
    return max(layer for layer, found in zip(info.out_indices, strides, strict=True) if found == stride)


def no_maps(name: str) -> WeightsError:
    """The error of a model that is no convolutional network."""
    return WeightsError(
        f"features.options.name: {name} gives no map of an image of any size; a convolutional network is needed; "
        "vision transformers are of backbone: vit"
    )


def noise(cnn: CNN) -> torch.Tensor:
    """Two images (2, 3, height, width) of 3 x 5 tokens."""
    return torch.randn(2, 3, 3 * cnn.stride, 5 * cnn.stride, generator=torch.Generator().manual_seed(0))


def check_size(cnn: CNN) -> None:
    """Refuse a network that does not give one vector a token of any image.

    Raises:
        WeightsError: as it says.
    """
    try:
        found = maps(cnn, noise(cnn))
    except (RuntimeError, ValueError, AssertionError):  # whatever a model raises that takes one size only
        raise no_maps(cnn.name) from None
    if found.shape != (2, cnn.channels, 3, 5):
        raise no_maps(cnn.name)


def check_content(cnn: CNN) -> None:
    """Refuse weights by which the map of any two images is the same.

    Raises:
        WeightsError: as it says.
    """
    first, second = maps(cnn, noise(cnn))
    if not bool((first - second).abs().max() > 1e-6 * first.abs().max()):
        raise WeightsError(
            "features.options.weights: the network gives the same map for every image, or none that is finite; "
            "take another checkpoint"
        )


@torch.inference_mode()
def maps(cnn: CNN, images: torch.Tensor) -> torch.Tensor:
    """The maps (B, C, h, w) of images (B, 3, h * stride, w * stride), normalised as the network's training did."""
    found: torch.Tensor = cnn.model(images)[0]
    return found


def pooled(map_Chw: torch.Tensor, mask_hw: torch.Tensor | None) -> torch.Tensor:
    """The mean (C) over a map, or over the mask on it; over the whole map where the mask is empty."""
    if mask_hw is None or not bool(mask_hw.any()):
        return map_Chw.mean(dim=(1, 2))
    return map_Chw[:, mask_hw].mean(dim=1)
