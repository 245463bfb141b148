"""Vision transformers: the forward pass, and the queries, keys, values and tokens of the last block.

Letters: B images, T tokens (class, registers, patches), D channels, H heads.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from usseg.pipeline.errors import ParamsError, WeightsError
from usseg.stages.features import posembed as posembeds


@dataclass(frozen=True)
class ViT:
    """A timm transformer with the position rule of the project that trained it."""

    model: Any
    posembed: str
    position: torch.Tensor | None  # (1, 1 + side * side, D); None: a rotary model, which computes positions itself
    patch_size: int
    channels: int
    num_heads: int
    num_prefix: int


def position_embedding(vit: ViT, rows: int, cols: int) -> torch.Tensor:
    """The position embedding of a grid, (1 + rows * cols, D), the class row first."""
    assert vit.position is not None
    return posembeds.RULES[vit.posembed](vit.position, rows, cols)


def embed_tokens(vit: ViT, images: torch.Tensor) -> torch.Tensor:
    """The tokens before the first block, (B, T, D): class, registers, patches. Registers get no position embedding."""
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
    """The tokens before the last block, (B, T, D)."""
    tokens = embed_tokens(vit, images)
    for block in vit.model.blocks[:-1]:
        tokens = block(tokens)
    return tokens


def queries_keys_values(block: Any, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries, keys and values of a block, (B, T, D) each, heads concatenated, without the scale of the attention."""
    q, k, v = block.attn.qkv(block.norm1(tokens)).chunk(3, dim=-1)
    return q, k, v


@torch.inference_mode()
def extract(vit: ViT, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Run the transformer, and read the queries, keys and values of its last block.

    Args:
        vit: the transformer.
        images: float32 (B, 3, height, width), ImageNet-normalised; sides are multiples of the patch size.

    Returns:
        `tokens` after the final norm, and `q`, `k`, `v` of the last block: (B, T, D) each, in the order class,
            registers, patches.
    """
    if vit.position is None:
        return extract_by_hook(vit, images)
    block = vit.model.blocks[-1]
    before = last_block_input(vit, images)
    q, k, v = queries_keys_values(block, before)
    tokens = vit.model.norm(block(before))
    return {"tokens": tokens, "q": q, "k": k, "v": v}


def extract_by_hook(vit: ViT, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """`extract` for rotary models (DINOv3): a hook reads the output of the qkv layer during the forward pass.

    Raises:
        WeightsError: the last block calls no joint qkv layer.
    """
    layer = getattr(vit.model.blocks[-1].attn, "qkv", None)
    outputs: list[torch.Tensor] = []
    handle = layer.register_forward_hook(lambda _module, _inputs, output: outputs.append(output)) if layer else None
    try:
        tokens = vit.model.forward_features(images)
    finally:
        if handle:
            handle.remove()
    if not outputs:  # EVA applies the weights of its layer without calling it
        raise WeightsError(
            "features.options.name: the last block of this model calls no joint qkv layer, "
            "so that it has no keys, queries or values to read; choose another ViT"
        )
    q, k, v = outputs[0].chunk(3, dim=-1)
    return {"tokens": tokens, "q": q, "k": k, "v": v}


def split_heads(values: torch.Tensor, heads: int) -> torch.Tensor:
    """(B, T, D) -> (B, H, T, D / H)."""
    return values.unflatten(-1, (heads, -1)).transpose(1, 2)


def masked_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, allowed: torch.Tensor, *, heads: int
) -> torch.Tensor:
    """The attention of one query to the allowed keys only, in each head.

    Args:
        q: (B, 1, D), the query.
        k, v: (B, T, D), keys and values.
        allowed: bool (B, T), the keys that the query attends to.
        heads: attention heads; the scale is 1 / sqrt(D / heads).

    Returns:
        (B, 1, D), heads concatenated, before the output projection.
    """
    query, keys, values = (split_heads(x, heads) for x in (q, k, v))
    scores = (query * query.shape[-1] ** -0.5) @ keys.transpose(-1, -2)
    scores = scores.masked_fill(~allowed[:, None, None, :], float("-inf"))
    return (functional.softmax(scores, dim=-1) @ values).transpose(1, 2).flatten(2)


@torch.inference_mode()
def class_features(vit: ViT, images: torch.Tensor, masks: torch.Tensor | None = None) -> torch.Tensor:
    """The class token after the final norm: (B, D).

    With masks, the class token of the last block attends to class token, registers and patches in the mask only.

    Source: semester report on DSM, section 3.1 (masked attention), computed per head.

    Args:
        vit: the transformer.
        images: float32 (B, 3, height, width), normalised.
        masks: bool (B, rows * cols); None: all patches.

    Raises:
        ParamsError: masks are given, and the model is rotary.
    """
    if vit.position is None:
        if masks is not None:
            raise ParamsError(
                "params.yaml: crops.method: masked_attention is not available for rotary backbones such as DINOv3; "
                "use crop"
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
