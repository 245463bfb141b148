"""Checkpoint files of networks: read without unpickling code, and copied into a timm model."""

import argparse
import logging
import re
from collections.abc import Mapping
from pathlib import Path, PosixPath
from typing import Any

import numpy as np
import torch

from usseg.pipeline.errors import WeightsError

log = logging.getLogger("usseg")
CONTAINERS = (
    "teacher",
    "model_ema",
    "state_dict_ema",
    "model",
    "state_dict",
    "student",
    "module",
)  # keys of the state dict in a file; the first one present counts
PATCHES, HF_PATCHES = "patch_embed.proj.weight", "embeddings.patch_embeddings.projection.weight"
LEFT_OUT = (
    *("head.", "heads.", "dino_head.", "ibot_head.", "fc_norm.", "decoder_", "pooler.", "classifier."),
    *("mask_token", "embeddings.mask_token"),
)
HUGGING_FACE = (
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.(cls_token|register_tokens)$", r"\1"),
    (r"^layernorm\.", "norm."),
    (r"^encoder\.layer\.(\d+)\.", r"blocks.\1."),
    (r"\.attention\.attention\.", ".attn."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
    (r"\.layer_scale(\d)\.lambda1$", r".ls\1.gamma"),
)
STRANGERS = {  # part of a key -> the model that has such keys
    "rope_embed": "DINOv3; take backbone: vit and name its model of timm as features.options.name",
    "layer.0.attention.q_proj": "DINOv3; take backbone: vit and name its model of timm as features.options.name",
    "resblocks": "CLIP",
    "self_attn.q_proj": "CLIP or SigLIP",
    "relative_position": "BEiT or Swin",
    "stages.": "a ConvNeXt or another model of stages",
    "layer1.0.conv1": "a ResNet",
}


def one_line(error: Exception, limit: int = 200) -> str:
    """The first `limit` characters of an error message, on one line."""
    return " ".join(str(error).split())[:limit] or type(error).__name__


def read_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """Read the weights of a transformer, as float32 tensors with the keys of the official DINO and DINOv2 files.

    The file may be an official one, a training checkpoint (the teacher is read), or a file of Hugging Face or timm.
    Keys may have prefixes. Heads, optimisers and other networks are left out, and the log states the number of
    tensors. No code is unpickled.

    Raises:
        WeightsError: the file does not exist, is truncated, holds code or no state dict, or its weights are refused by
            `check_weights`.
    """
    state = {key: value for key, value in tensors_of(read_file(path)).items() if isinstance(value, torch.Tensor)}
    if not state:
        raise WeightsError(f"features.options.weights: {path} holds no state dict")
    anchors = [key for key in state if key.endswith((PATCHES, HF_PATCHES))]
    prefixes = {key.removesuffix(HF_PATCHES).removesuffix(PATCHES) for key in anchors}
    prefix = min(prefixes, key=lambda name: ("teacher" not in name, "ema" not in name, len(name)), default="")
    used = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    if any(key.endswith(HF_PATCHES) for key in anchors):
        used = from_hugging_face(used)
    used = {key: value for key, value in used.items() if not key.startswith(LEFT_OUT)}
    if len(used) < len(state) and prefixes:
        log.info(
            "features.options.weights: %s: %d of %d tensors are read; heads and other networks are left out",
            path.name,
            len(used),
            len(state),
        )
    if prefixes:
        check_weights(used, str(path))
    return {official_key(key): value.float() for key, value in renumbered(used).items()}


def read_network(path: Path) -> dict[str, torch.Tensor]:
    """Read the floating-point tensors of any network, as float32, with the keys of the file. No code is unpickled.

    Raises:
        WeightsError: as `read_checkpoint`.
    """
    state = {key: value for key, value in tensors_of(read_file(path)).items() if isinstance(value, torch.Tensor)}
    floats = {key: value for key, value in state.items() if value.is_floating_point()}  # batch norm counts its batches
    if not floats:
        raise WeightsError(f"features.options.weights: {path} holds no state dict")
    check_weights(floats, str(path))
    return {key.removeprefix("module."): value.float() for key, value in floats.items()}


def read_file(path: Path) -> Any:
    """The content of a file: tensors and plain values.

    The only Python classes allowed are those of training arguments.
    """
    numbers = [kind for kind in vars(np.dtypes).values() if isinstance(kind, type)]
    scalar: Any = vars(np)["_core"].multiarray.scalar
    plain = [argparse.Namespace, PosixPath, np.dtype, *numbers, (scalar, "numpy.core.multiarray.scalar"), scalar]
    try:
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with torch.serialization.safe_globals(plain):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"features.options.weights: no file {path}") from None
    except Exception as error:  # the readers raise a different type for each way a file can be broken
        foreign = re.search(r"GLOBAL (\S+) was not an allowed global", str(error))
        if foreign:
            raise WeightsError(
                f"features.options.weights: {path} cannot be read: it holds Python objects ({foreign[1]}), "
                "which could run code; save the state dict alone: torch.save(content['teacher'], path)"
            ) from error
        raise WeightsError(
            f"features.options.weights: {path} cannot be read ({one_line(error)}); is the download complete?"
        ) from error


def tensors_of(content: Any) -> Mapping[str, Any]:
    """The innermost state dict of a training checkpoint: the teacher's where there is a teacher."""
    for key in CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping) and content[key]:
            return tensors_of(content[key])
    return content if isinstance(content, Mapping) else {}


def from_hugging_face(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the keys of Hugging Face's ViT and Dinov2 models to official keys.

    Queries, keys and values are concatenated.
    """
    renamed: dict[str, torch.Tensor] = {}
    for key, value in state.items():
        plain = key
        for theirs, ours in HUGGING_FACE:
            plain = re.sub(theirs, ours, plain)
        renamed[plain] = value
    for key in [key for key in renamed if ".attn.query." in key]:
        parts = [key.replace(".query.", f".{name}.") for name in ("query", "key", "value")]
        if all(part in renamed for part in parts):
            renamed[key.replace(".query.", ".qkv.")] = torch.cat([renamed.pop(part) for part in parts])
    return renamed


def renumbered(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Renumber blocks in chunks, `blocks.<chunk>.<block>.` (training checkpoints of DINOv2), to `blocks.<block>.`."""
    chunked = re.compile(r"blocks\.(\d+)\.(\d+)\.")
    positions = sorted({(int(m[1]), int(m[2])) for key in state if (m := chunked.match(key))})
    numbers = {position: number for number, position in enumerate(positions)}
    return {
        chunked.sub(lambda m: f"blocks.{numbers[int(m[1]), int(m[2])]}.", key): value for key, value in state.items()
    }


def official_key(key: str) -> str:
    """Rename registers as in DINOv2, and the two layers of an MLP as in DINO.

    The first layer of SwiGLU gives gate and value.
    """
    key = {"reg_token": "register_tokens"}.get(key, key)
    return re.sub(r"\.mlp\.(w3|weights_out)\.", ".mlp.fc2.", re.sub(r"\.mlp\.(w12|weights_in)\.", ".mlp.fc1.", key))


def check_weights(state: Mapping[str, torch.Tensor], where: str) -> None:
    """Refuse tensors that cannot be trained weights.

    Raises:
        WeightsError: a tensor has no storage, is not dense, is not floating-point or is not finite in float32, or all
            matrices are 0.
    """
    for key, value in state.items():
        if value.is_meta or value.layout != torch.strided:
            kind = "meta" if value.is_meta else str(value.layout).removeprefix("torch.")
            raise WeightsError(
                f"features.options.weights: {where}: {key} is a {kind} tensor; a dense one with numbers is needed"
            )
        if not value.is_floating_point():
            raise WeightsError(
                f"features.options.weights: {where}: {key} is {value.dtype}; floating-point weights are needed"
            )
        if not bool(torch.isfinite(value.float()).all()):
            raise WeightsError(
                f"features.options.weights: {where}: {key} holds NaN, infinity or what float32 cannot hold; "
                "take another checkpoint"
            )
    matrices = [value for value in state.values() if value.ndim > 1]
    if matrices and not any(bool(value.any()) for value in matrices):
        raise WeightsError(f"features.options.weights: {where}: all weights are 0; take another checkpoint")


def layout_of(state: Mapping[str, torch.Tensor]) -> str:
    """A guess at the model of a state dict that is no DINO or DINOv2 transformer, for messages."""
    for sign, name in STRANGERS.items():
        if any(sign in key for key in state):
            return f"the layout is that of {name}"
    return f"the keys are such as {', '.join(sorted(state)[:3])}" if state else "there are no tensors"


def load_state(model: Any, state: Mapping[str, torch.Tensor], where: str) -> None:
    """Copy official weights into a timm model, without the position embedding of a model that is not rotary.

    Raises:
        WeightsError: keys or shapes do not fit the model.
    """
    renamed = {"reg_token" if k == "register_tokens" else k: v for k, v in state.items() if k != "mask_token"}
    own = {key for key in model.state_dict() if not key.startswith(LEFT_OUT)}
    missing, strange = sorted(own - set(renamed)), sorted(set(renamed) - own)
    if missing or strange:
        raise WeightsError(
            f"features.options.weights: {where} does not fit the backbone: missing {missing[:3]}, unknown {strange[:3]}"
        )
    rotary = getattr(model, "rope", None) is not None  # a rotary model adds its position embedding itself
    position = None if rotary else renamed.pop("pos_embed", None)
    for key, value in renamed.items():
        if model.state_dict()[key].shape != value.shape:
            raise WeightsError(
                f"features.options.weights: {where} does not fit the backbone: {key} is {tuple(value.shape)}, "
                f"{tuple(model.state_dict()[key].shape)} is needed"
            )
    if position is not None and not is_position(position, model):
        raise WeightsError(
            f"features.options.weights: {where} does not fit the backbone: pos_embed is {tuple(position.shape)}, "
            f"(1, 1 + a square number, {model.embed_dim}) is needed"
        )
    model.load_state_dict(renamed, strict=False)


def is_position(position: torch.Tensor, model: Any) -> bool:
    """Whether this is a position embedding of the model: a row for each patch of a square grid.

    A row for the class token may come first.
    """
    if position.ndim != 3 or position.shape[0] != 1 or position.shape[2] != model.embed_dim:
        return False
    rows = position.shape[1]
    side = round((rows - 1) ** 0.5)
    return rows == int(model.patch_embed.num_patches) or (side > 0 and side * side == rows - 1)


def load_map(model: Any, state: Mapping[str, torch.Tensor], where: str) -> None:
    """Copy the weights of a whole timm network into its first layers. The log states how many tensors are read.

    Raises:
        WeightsError: keys or shapes do not fit the model.
    """
    # In a cut network, timm joins the first two parts of some keys with "_", and adds the prefix "model." to others.
    joined = {key.replace(".", "_"): value for key, value in state.items()}
    own = {key: value for key, value in model.state_dict().items() if value.is_floating_point()}
    weights = {key: joined.get(key.removeprefix("model.").replace(".", "_")) for key in own}
    missing = [key for key, value in weights.items() if value is None]
    if missing:
        raise WeightsError(
            f"features.options.weights: {where} does not fit the network: missing {missing[:3]}; {layout_of(state)}"
        )
    for key, value in weights.items():
        if value is not None and value.shape != own[key].shape:
            raise WeightsError(
                f"features.options.weights: {where} does not fit the network: {key} is {tuple(value.shape)}, "
                f"{tuple(own[key].shape)} is needed"
            )
    log.info("features.options.weights: %s: %d of %d tensors are read", where, len(weights), len(state))
    model.load_state_dict(weights, strict=False)
