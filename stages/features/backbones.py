"""Vision transformers: load, run, and take queries, keys, values and tokens of the last block.

Letters: B images, T tokens (class, registers, patches), D channels, H heads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from usseg.pipeline.errors import ParamsError, WeightsError
from usseg.stages.features import posembed as posembeds
from usseg.stages.features.checkpoints import layout_of, load_state, one_line, read_checkpoint


@dataclass(frozen=True)
class ViT:
    """A timm transformer with the position rule of the project that trained it."""

    model: Any
    posembed: str
    position: torch.Tensor | None  # (1, 1 + side * side, D); None: the model places its tokens itself (rotary)
    patch_size: int
    channels: int
    num_heads: int
    num_prefix: int


def load_vit(
    name: str, *, weights: Path | None, posembed: str, num_heads: int | None = None, device: str = "cpu"
) -> ViT:
    """Load a transformer by its timm name, from the hub or from a local checkpoint.

    Args:
        name: a timm name (`vit_small_patch16_224.dino`), or `checkpoint`: the shape is read from `weights`.
        weights: `.pth` in the official DINO / DINOv2 layout, or `.safetensors`; None: timm's hub.
        posembed: `auto` or a key of posembed.RULES.
        num_heads: only for `checkpoint`; a state dict does not tell it. None: channels / 64.
        device: where to run.

    Raises:
        WeightsError: unknown name, unreadable or unfit weights, no way to download.
    """

    if weights is not None:
        state = read_checkpoint(weights)
        if name == "checkpoint":
            return from_state_dict(state, num_heads=num_heads, posembed=posembed, device=device)
    elif name == "checkpoint":
        raise WeightsError("features.backbone: checkpoint needs features.weights, a local file")
    model = timm_model(name, pretrained=weights is None)
    # A model that turns its tokens by their place runs itself, also where it adds a position embedding beside.
    rotary = getattr(model, "rope", None) is not None
    position: torch.Tensor | None = None if rotary else getattr(model, "pos_embed", None)
    if weights is not None:
        load_state(model, state, str(weights))
        official_position = state.get("pos_embed")
        position = official_position if official_position is not None and not rotary else position
    registers = int(getattr(model, "num_reg_tokens", 0) or 0)
    return finish(model, rule_of(posembed, name, registers), position, device)


def timm_model(name: str, *, pretrained: bool) -> Any:
    """Build a transformer by its timm name, with weights from the hub where `pretrained`.

    Raises:
        WeightsError: unknown name, not a transformer, or no way to download.
    """
    import timm

    base = name.partition(".")[0]
    if not timm.is_model(base) or (pretrained and not timm.is_model_pretrained(name)):
        close = timm.list_models(f"*{base[:12]}*", pretrained=pretrained)[:5]
        what = "weights for" if timm.is_model(base) else "model"
        raise WeightsError(
            f"features.backbone: timm has no {what} {name!r}; names like it: {', '.join(close) or 'none'}"
        )
    try:
        model: Any = timm.create_model(name, pretrained=pretrained, num_classes=0, dynamic_img_size=True)
    except TypeError:  # dynamic_img_size
        model = None
    except Exception as error:  # the hub, the network and the readers of weights share no type
        raise WeightsError(
            f"features.backbone: the weights of {name} could not be downloaded or read ({one_line(error)}); try again "
            "with a network, remove a broken file from the hub's cache, or give a local file as features.weights"
        ) from error
    if not all(hasattr(model, part) for part in ("blocks", "cls_token", "patch_embed")):
        raise WeightsError(
            f"features.backbone: {name} is no plain vision transformer; a ViT with a class token is needed"
        )
    return model


def rule_of(posembed: str, name: str, registers: int) -> str:
    """The position rule that `auto` stands for."""
    if posembed != "auto":
        return "dinov2_reg" if posembed == "dinov2" and registers else posembed
    if "dinov2" in name:
        return "dinov2_reg" if registers else "dinov2"
    return "dino" if ".dino" in name or name == "checkpoint" else "timm"


def from_state_dict(
    state: Mapping[str, torch.Tensor], *, num_heads: int | None = None, posembed: str = "auto", device: str = "cpu"
) -> ViT:
    """Build the transformer whose weights these are: official DINO / DINOv2 layout, any size.

    Args:
        state: tensors by official key; `register_tokens` and `blocks.0.ls1.gamma` are optional.
        num_heads: attention heads; None: channels / 64.
        posembed: `auto` (DINOv2's where there is LayerScale, else DINO's) or a rule's name.
        device: where to run.
    """
    from timm.layers.mlp import Mlp, SwiGLUPacked
    from timm.models.vision_transformer import VisionTransformer

    axes = {"cls_token": 3, "pos_embed": 3, "patch_embed.proj.weight": 4, "blocks.0.mlp.fc1.weight": 2}
    for key, number in axes.items():
        if key not in state or state[key].ndim != number:
            found = f"{key} of shape {tuple(state[key].shape)}" if key in state else f"no {key}"
            raise WeightsError(
                f"features.weights: found {found}; the official DINO or DINOv2 layout is needed, or Hugging Face's; {layout_of(state)}"
            )
    channels, _, patch, _ = state["patch_embed.proj.weight"].shape
    depth = len({key.split(".")[1] for key in state if key.startswith("blocks.")})
    registers = state["register_tokens"].shape[1] if "register_tokens" in state else 0
    side = round((state["pos_embed"].shape[1] - 1) ** 0.5)
    layer_scale = "blocks.0.ls1.gamma" in state
    hidden = state["blocks.0.mlp.fc1.weight"].shape[0]
    gated = hidden == 2 * state.get("blocks.0.mlp.fc2.weight", state["blocks.0.mlp.fc1.weight"]).shape[1]
    mlp: Any = SwiGLUPacked if gated else Mlp
    heads = num_heads or max(1, channels // 64)
    if channels % heads:
        raise WeightsError(f"features.num_heads: found {heads}; it must divide the {channels} channels of the weights")
    model = VisionTransformer(
        img_size=side * patch,
        patch_size=patch,
        embed_dim=channels,
        depth=depth,
        num_heads=heads,
        mlp_ratio=(hidden + 0.5) / channels,  # timm rounds down
        mlp_layer=mlp,
        act_layer=torch.nn.SiLU if gated else torch.nn.GELU,
        qkv_bias="blocks.0.attn.qkv.bias" in state,
        init_values=1.0 if layer_scale else None,
        reg_tokens=registers,
        num_classes=0,
        dynamic_img_size=True,
    )
    load_state(model, state, "the checkpoint")
    name = "dinov2" if layer_scale else "checkpoint"
    return finish(model, rule_of(posembed, name, registers), state["pos_embed"], device)


def finish(model: Any, rule: str, position: torch.Tensor | None, device: str) -> ViT:
    """Freeze the model on its device."""
    if position is not None and position.shape[1] == int(model.patch_embed.num_patches):
        # timm folds the class row into the class token for models whose class token has no position
        position = torch.cat([torch.zeros_like(position[:, :1]), position], dim=1)
    torch.backends.cudnn.allow_tf32 = (
        False  # torch's default rounds the patch projection of float32 to 10 bits on a GPU
    )
    model = model.eval().requires_grad_(False).to(device)
    patch = model.patch_embed.patch_size
    block = model.blocks[-1]
    return ViT(
        model,
        rule,
        None if position is None else position.detach().float().to(device),
        int(patch[0] if isinstance(patch, (tuple, list)) else patch),
        int(model.embed_dim),
        int(block.attn.num_heads),
        int(model.num_prefix_tokens),
    )


def check_output(vit: ViT, facet: str) -> None:
    """Refuse a transformer whose patches say the same of any two images.

    Args:
        vit: the transformer.
        facet: `k`, `q`, `v` or `tokens`, as `extract` names them.

    Raises:
        WeightsError: as it says.
    """
    side = 2 * vit.patch_size
    noise = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    first, second = extract(vit, noise.to(next(vit.model.parameters()).device))[facet][:, vit.num_prefix :].float()
    if not bool((first - second).abs().max() > 1e-6 * first.abs().max()):
        raise WeightsError(
            f"features.weights: the transformer gives the same {facet} for every image, or none that is finite; "
            "take another checkpoint"
        )


def position_embedding(vit: ViT, rows: int, cols: int) -> torch.Tensor:
    """The position embedding of a grid, (1 + rows * cols, D), the class row first."""
    assert vit.position is not None
    return posembeds.RULES[vit.posembed](vit.position, rows, cols)


def embed_tokens(vit: ViT, images: torch.Tensor) -> torch.Tensor:
    """Patches, class token, position embedding, then registers, which get no position: (B, T, D)."""
    grid = vit.model.patch_embed.proj(images)
    rows, cols = grid.shape[2:]
    patches = grid.flatten(2).transpose(1, 2)
    cls = vit.model.cls_token.expand(len(images), -1, -1)
    tokens = torch.cat([cls, patches], dim=1) + position_embedding(vit, rows, cols)
    registers = getattr(vit.model, "reg_token", None)
    if registers is not None:
        tokens = torch.cat([tokens[:, :1], registers.expand(len(images), -1, -1), tokens[:, 1:]], dim=1)
    return vit.model.norm_pre(tokens)


def last_block_input(vit: ViT, images: torch.Tensor) -> torch.Tensor:
    """Tokens before the last block, (B, T, D)."""
    tokens = embed_tokens(vit, images)
    for block in vit.model.blocks[:-1]:
        tokens = block(tokens)
    return tokens


def queries_keys_values(block: Any, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Outputs of the block's qkv layer on its normed input, each (B, T, D), heads side by side, unscaled."""
    q, k, v = block.attn.qkv(block.norm1(tokens)).chunk(3, dim=-1)
    return q, k, v


@torch.inference_mode()
def extract(vit: ViT, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Run the transformer and tap its last block.

    Args:
        vit: the transformer.
        images: float32 (B, 3, height, width), ImageNet-normalised; sides are multiples of the patch size.

    Returns:
        `tokens` after the final norm, `q`, `k`, `v` of the last block: (B, T, D), order class, registers, patches.
        `cls_attn`: the class token's attention in the last block, (B, H, T). Absent for models that place tokens themselves.
    """
    if vit.position is None:
        return extract_by_hook(vit, images)
    block = vit.model.blocks[-1]
    before = last_block_input(vit, images)
    q, k, v = queries_keys_values(block, before)
    tokens = vit.model.norm(block(before))
    weights = attention_of_class(q, k, vit.num_heads)
    return {"tokens": tokens, "q": q, "k": k, "v": v, "cls_attn": weights}


def extract_by_hook(vit: ViT, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """The same for rotary models (DINOv3): the model runs itself, the qkv layer is listened to."""
    layer = getattr(vit.model.blocks[-1].attn, "qkv", None)
    seen: list[torch.Tensor] = []
    handle = layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output)) if layer else None
    try:
        tokens = vit.model.forward_features(images)
    finally:
        if handle:
            handle.remove()
    if not seen:  # EVA applies the weights of its layer without calling it
        raise WeightsError(
            "features.backbone: the last block of this model calls no joint qkv layer, so that it has no keys, queries or "
            "values to read; choose another ViT"
        )
    q, k, v = seen[0].chunk(3, dim=-1)
    return {"tokens": tokens, "q": q, "k": k, "v": v}


def split_heads(values: torch.Tensor, heads: int) -> torch.Tensor:
    """(B, T, D) -> (B, H, T, D / H)."""
    return values.unflatten(-1, (heads, -1)).transpose(1, 2)


def attention_of_class(q: torch.Tensor, k: torch.Tensor, heads: int) -> torch.Tensor:
    """Softmax row of the class query, per head: (B, H, T)."""
    query, keys = split_heads(q[:, :1], heads), split_heads(k, heads)
    scale = query.shape[-1] ** -0.5
    return functional.softmax((query * scale) @ keys.transpose(-1, -2), dim=-1)[:, :, 0]


def masked_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, allowed: torch.Tensor, *, heads: int
) -> torch.Tensor:
    """Attention of one query, per head, over the allowed keys only.

    Args:
        q: (B, 1, D). k, v: (B, T, D).
        allowed: bool (B, T).
        heads: attention heads; the scale is 1 / sqrt(D / heads).

    Returns:
        (B, 1, D), heads side by side, before the output projection.
    """
    query, keys, values = (split_heads(x, heads) for x in (q, k, v))
    scores = (query * query.shape[-1] ** -0.5) @ keys.transpose(-1, -2)
    scores = scores.masked_fill(~allowed[:, None, None, :], float("-inf"))
    return (functional.softmax(scores, dim=-1) @ values).transpose(1, 2).flatten(2)


@torch.inference_mode()
def class_features(vit: ViT, images: torch.Tensor, masks: torch.Tensor | None = None) -> torch.Tensor:
    """Class token after the final norm, (B, D); with masks the last block sees only class, registers and masked patches.

    Source: semester report on DSM, section 3.1 (masked attention), computed per head.

    Args:
        vit: the transformer.
        images: float32 (B, 3, height, width), normalised.
        masks: bool (B, rows * cols); None: all patches.
    """
    if vit.position is None:
        if masks is not None:
            raise ParamsError(
                "params.yaml: crops.method: masked_attention is not available for rotary backbones such as DINOv3; use crop"
            )
        tokens: torch.Tensor = vit.model.forward_features(images)
        return tokens[:, 0]
    block = vit.model.blocks[-1]
    before = last_block_input(vit, images)
    if masks is None:
        return vit.model.norm(block(before))[:, 0]
    prefix = torch.ones(len(images), vit.num_prefix, dtype=torch.bool, device=masks.device)
    q, k, v = queries_keys_values(block, before)
    mixed = masked_attention(q[:, :1], k, v, torch.cat([prefix, masks], dim=1), heads=vit.num_heads)
    cls = before[:, :1] + block.ls1(block.attn.proj(mixed))
    cls = cls + block.ls2(block.mlp(block.norm2(cls)))
    return vit.model.norm(cls)[:, 0]
