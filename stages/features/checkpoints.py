"""Checkpoint files of transformers: read without unpickling code, and copied into a model of timm."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pipeline.errors import WeightsError


def one_line(error: Exception, limit: int = 200) -> str:
    """The start of an error's text on one line."""
    return " ".join(str(error).split())[:limit] or type(error).__name__


def read_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict without unpickling code; strips `teacher`, `module.`, `backbone.` and drops heads.

    Raises:
        WeightsError: no such file, truncated, or not a state dict.
    """
    try:
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"features.weights: no file {path}") from None
    except Exception as error:  # the readers raise a different type for each way a file can be broken
        raise WeightsError(
            f"features.weights: {path} cannot be read ({one_line(error)}); is the download complete?"
        ) from error
    for key in ("teacher", "model", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(v, torch.Tensor) for v in content.values()):
        raise WeightsError(f"features.weights: {path} holds no state dict")
    state = {}
    for key, value in content.items():
        plain = key.removeprefix("module.").removeprefix("backbone.")
        if not plain.startswith(("head.", "dino_head.", "ibot_head.")):
            state[plain] = value
    return state


def load_state(model: Any, state: Mapping[str, torch.Tensor], where: str) -> None:
    """Copy official weights into a timm model; the position embedding is kept apart.

    Raises:
        WeightsError: keys or shapes do not fit.
    """
    renamed = {"reg_token" if k == "register_tokens" else k: v for k, v in state.items() if k != "mask_token"}
    own = set(model.state_dict())
    missing, strange = sorted(own - set(renamed)), sorted(set(renamed) - own)
    if missing or strange:
        raise WeightsError(
            f"features.weights: {where} does not fit the backbone: missing {missing[:3]}, unknown {strange[:3]}"
        )
    position = renamed.pop("pos_embed", None)
    for key, value in renamed.items():
        if model.state_dict()[key].shape != value.shape:
            raise WeightsError(
                f"features.weights: {where} does not fit the backbone: {key} is {tuple(value.shape)}, "
                f"{tuple(model.state_dict()[key].shape)} is needed"
            )
    if position is not None and not is_position(position, model):
        raise WeightsError(
            f"features.weights: {where} does not fit the backbone: pos_embed is {tuple(position.shape)}, "
            f"(1, 1 + a square number, {model.embed_dim}) is needed"
        )
    model.load_state_dict(renamed, strict=False)


def is_position(position: torch.Tensor, model: Any) -> bool:
    """Whether this is a position embedding of the model: one row a patch of a square grid, with or without a class row."""
    if position.ndim != 3 or position.shape[0] != 1 or position.shape[2] != model.embed_dim:
        return False
    rows = position.shape[1]
    side = round((rows - 1) ** 0.5)
    return rows == int(model.patch_embed.num_patches) or (side > 0 and side * side == rows - 1)
