"""Convolutional networks: the feature map of one layer.

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
    """A timm network up to the layer whose feature map has one vector for every `stride` pixels.

    `mean` and `std` normalise the channels of an image, as in the training of the network.
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
        stride: pixels between two neighbouring vectors of the map.
        weights: `.pth` or `.safetensors` with timm's keys; None: timm's hub.
        device: a torch device.

    Raises:
        WeightsError: the name is unknown, the model has no feature maps, or the weights cannot be read or downloaded
            or do not fit.
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
    """The number of the last layer whose map has this stride, as timm counts layers.

    Raises:
        WeightsError: the name is unknown, or timm gives no feature maps of this model.
        ParamsError: no layer has this stride.
    """
    import timm

    check_name(name, pretrained=pretrained)
    try:
        info: Any = timm.create_model(name, features_only=True).feature_info
    except (RuntimeError, ValueError, TypeError, AttributeError):  # a model without feature maps raises one of these
        raise no_maps(name) from None
    strides = info.reduction()
    if stride not in strides:
        known = ", ".join(map(str, sorted(set(strides))))
        raise refused("features.options.stride", stride, f"name: {name} has maps of {known} pixels; take one of these")
    return max(layer for layer, found in zip(info.out_indices, strides, strict=True) if found == stride)


def no_maps(name: str) -> WeightsError:
    """The error for a model that is no convolutional network."""
    return WeightsError(
        f"features.options.name: {name} gives no map of an image of any size; a convolutional network is needed; "
        "vision transformers are of backbone: vit"
    )


def noise(cnn: CNN) -> torch.Tensor:
    """Two random images, float32 (2, 3, height, width), of 3 x 5 tokens."""
    return torch.randn(2, 3, 3 * cnn.stride, 5 * cnn.stride, generator=torch.Generator().manual_seed(0))


def check_size(cnn: CNN) -> None:
    """Refuse a network whose map does not have one vector for each token.

    Raises:
        WeightsError: the map of a random image has another shape.
    """
    try:
        found = maps(cnn, noise(cnn))
    except (RuntimeError, ValueError, AssertionError):  # a model of a fixed image size raises one of these
        raise no_maps(cnn.name) from None
    if found.shape != (2, cnn.channels, 3, 5):
        raise no_maps(cnn.name)


def check_content(cnn: CNN) -> None:
    """Refuse weights with which the maps of any two images are equal.

    Raises:
        WeightsError: the maps of two random images are equal or not finite.
    """
    first, second = maps(cnn, noise(cnn))
    if not bool((first - second).abs().max() > 1e-6 * first.abs().max()):
        raise WeightsError(
            "features.options.weights: the network gives the same map for every image, or none that is finite; "
            "take another checkpoint"
        )


@torch.inference_mode()
def maps(cnn: CNN, images: torch.Tensor) -> torch.Tensor:
    """The feature maps (B, C, h, w) of normalised images (B, 3, h * stride, w * stride)."""
    feature_map: torch.Tensor = cnn.model(images)[0]
    return feature_map


def pooled(map_Chw: torch.Tensor, mask_hw: torch.Tensor | None) -> torch.Tensor:
    """The mean of a map over a mask: (C,). Over the whole map where the mask is None or empty."""
    if mask_hw is None or not bool(mask_hw.any()):
        return map_Chw.mean(dim=(1, 2))
    return map_Chw[:, mask_hw].mean(dim=1)
