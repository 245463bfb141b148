"""Weights of a trained network as one array, and back."""

from typing import Any

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]


def numbers_of(network: Any) -> list[Any]:
    """Parameters of a network, then its floating-point buffers, such as the statistics of a batch norm."""
    return [*network.parameters(), *(buffer for buffer in network.buffers() if buffer.is_floating_point())]


def flat_weights(network: Any) -> F32:
    """All weights as float32 (weight,): parameters, then floating-point buffers, each in the order of the modules."""
    import torch

    flat = torch.cat([numbers.detach().reshape(-1) for numbers in numbers_of(network)])
    weights: F32 = flat.cpu().numpy().astype(np.float32)
    return weights


def load_weights(network: Any, weights: F32) -> None:
    """Load weights from `flat_weights` into a network of the same architecture, in place.

    Raises:
        ValueError: the network has another number of weights.
    """
    import torch

    numbers = numbers_of(network)
    if len(weights) != (wanted := sum(one.numel() for one in numbers)):
        raise ValueError(f"found {len(weights)} weights for a network that has {wanted}")
    parts = torch.from_numpy(np.array(weights, np.float32)).split([one.numel() for one in numbers])
    with torch.no_grad():
        for one, part in zip(numbers, parts, strict=True):
            one.copy_(part.view_as(one))
