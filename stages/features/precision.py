"""The arithmetic of a network's linear layers."""

from typing import Any, Literal

Precision = Literal["float32", "bfloat16"]


def arithmetic(precision: str, device: str) -> Any:
    """A context in which a network computes in float32, or in bfloat16 (faster, errors of about 1e-2)."""
    import torch

    return torch.autocast(device.partition(":")[0], torch.bfloat16, enabled=precision == "bfloat16")
