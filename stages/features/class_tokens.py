"""Class tokens for parts of one image: for many crops in one pass, or for many segments in one last block.

Letters: B images, N patches, T tokens (class, registers, patches), D channels, S segments or crops, H heads.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from usseg.stages.features.transformer import (
    ViT,
    last_block_input,
    masked_attention,
    position_embedding,
    queries_keys_values,
    split_heads,
)

PACK = 512  # tokens in one pass: enough for a fast matrix product, few enough to stay in the cache of the CPU


def can_pack(vit: ViT) -> bool:
    """Whether all blocks are those of DINO and DINOv2, whose parts this module calls one by one."""
    from timm.layers.attention import Attention
    from timm.models.vision_transformer import Block

    def ordinary(block: Any) -> bool:
        attention = block.attn
        if type(block) is not Block or type(attention) is not Attention or attention.gate is not None:
            return False
        return all(isinstance(part, torch.nn.Identity) for part in (attention.q_norm, attention.k_norm, attention.norm))

    return vit.position is not None and all(map(ordinary, vit.model.blocks))


@torch.inference_mode()
def crop_class_features(
    vit: ViT,
    image: torch.Tensor,
    boxes: npt.NDArray[np.integer],
    masks: Sequence[npt.NDArray[np.bool_]] | None,
    *,
    pack: int = PACK,
) -> torch.Tensor:
    """The class token of each crop after the final norm: (S, D).

    It equals `class_features` of each crop up to rounding. The patches of the image are projected once. The tokens of
    several crops are concatenated: all layers but attention run over all tokens at once, and attention runs within
    each crop. The last block is computed for the class tokens only. Equal crops are computed once.

    Args:
        vit: a transformer for which `can_pack` is true.
        image: float32 (1, 3, height, width), normalised.
        boxes: (S, 4) in patches: xmin, ymin, xmax, ymax, half open.
        masks: bool (row, column) on the patches of each box: the class token of the last block attends to these
            patches only; None: to all.
        pack: number of tokens that fills a pass. Crops keep their order, and a crop is never split.
    """
    sides = [(y1 - y0, x1 - x0) for x0, y0, x1, y1 in boxes.tolist()]
    assert masks is None or [mask.shape for mask in masks] == sides, "a mask has another size than its box"
    patches = vit.model.patch_embed.proj(image)
    if masks is None:
        boxes, again = np.unique(boxes, axis=0, return_inverse=True)
    else:
        again = np.arange(len(boxes))
    features = []
    for chosen in packs(boxes, pack):
        crops = [crop_tokens(vit, patches, boxes[s]) for s in chosen]
        patch_masks = (
            None if masks is None else [torch.from_numpy(masks[s].reshape(1, -1)).to(image.device) for s in chosen]
        )
        features.append(packed_class_features(vit, crops, patch_masks))
    return torch.cat(features)[torch.from_numpy(again.reshape(-1))]


def packs(boxes: npt.NDArray[np.integer], size: int) -> Iterator[list[int]]:
    """Lists of consecutive box numbers whose patches add up to `size` or more; the last list may have fewer."""
    chosen: list[int] = []
    held = 0
    for s, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        chosen.append(s)
        held += (x1 - x0) * (y1 - y0)
        if held >= size:
            yield chosen
            chosen, held = [], 0
    if chosen:
        yield chosen


def crop_tokens(vit: ViT, patches: torch.Tensor, box: npt.NDArray[np.integer]) -> torch.Tensor:
    """The tokens of one crop in the order of `embed_tokens`, (1, T, D), from projected patches (1, D, row, column)."""
    x0, y0, x1, y1 = box.tolist()
    inside = patches[:, :, y0:y1, x0:x1].flatten(2).transpose(1, 2)
    tokens = torch.cat([vit.model.cls_token, inside], dim=1) + position_embedding(vit, y1 - y0, x1 - x0)
    registers = getattr(vit.model, "reg_token", None)
    if registers is not None:
        tokens = torch.cat([tokens[:, :1], registers, tokens[:, 1:]], dim=1)
    return vit.model.norm_pre(tokens)


def packed_class_features(vit: ViT, crops: list[torch.Tensor], masks: list[torch.Tensor] | None) -> torch.Tensor:
    """The class tokens (S, D) of crops, given their tokens (1, T, D) and masks (1, N) each."""
    lengths = [crop.shape[1] for crop in crops]
    tokens = torch.cat(crops, dim=1)
    for block in vit.model.blocks[:-1]:
        tokens = packed_block(block, tokens, lengths)
    first = np.cumsum([0, *lengths[:-1]])
    q, k, v = last_block_class(vit, tokens, first)
    mixed = []
    for s, (keys, values) in enumerate(zip(k.split(lengths, dim=1), v.split(lengths, dim=1), strict=True)):
        allowed = torch.ones(1, lengths[s], dtype=torch.bool, device=tokens.device)
        if masks is not None:
            allowed[:, vit.num_prefix :] = masks[s]
        mixed.append(masked_attention(q[:, s : s + 1], keys, values, allowed, heads=vit.num_heads))
    return finish_class(vit, tokens[:, first], torch.cat(mixed, dim=1))[0]


def packed_block(block: Any, tokens: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    """One transformer block on the concatenated tokens of crops: (1, sum of lengths, D)."""
    attention = block.attn
    parts = zip(*(x.split(lengths, dim=1) for x in queries_keys_values(block, tokens)), strict=True)
    mixed = []
    for part in parts:
        q, k, v = (split_heads(x, attention.num_heads) for x in part)
        heads = functional.scaled_dot_product_attention(q, k, v)
        mixed.append(heads.transpose(1, 2).flatten(2))
    tokens = tokens + block.ls1(attention.proj(torch.cat(mixed, dim=1)))
    return tokens + block.ls2(block.mlp(block.norm2(tokens)))


def last_block_class(
    vit: ViT, tokens: torch.Tensor, first: npt.NDArray[np.integer]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries (1, S, D) of the class tokens, and keys and values (1, T, D) of all tokens, in the last block.

    `first` holds the positions of the class tokens.
    """
    block = vit.model.blocks[-1]
    normed, layer = block.norm1(tokens), block.attn.qkv
    channels = vit.channels
    bias = (None, None) if layer.bias is None else (layer.bias[:channels], layer.bias[channels:])
    q = functional.linear(normed[:, first], layer.weight[:channels], bias[0])
    k, v = functional.linear(normed, layer.weight[channels:], bias[1]).chunk(2, dim=-1)
    return q, k, v


def finish_class(vit: ViT, before: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
    """The class tokens after the last block and the final norm: (1, S, D).

    Args:
        vit: the transformer.
        before: the class tokens before the last block, (1, S, D).
        mixed: the output of the attention of the last block for the class tokens, (1, S, D).
    """
    block = vit.model.blocks[-1]
    cls = before + block.ls1(block.attn.proj(mixed))
    cls = cls + block.ls2(block.mlp(block.norm2(cls)))
    return vit.model.norm(cls)


@torch.inference_mode()
def image_features(vit: ViT, images: torch.Tensor, facet: str) -> dict[str, torch.Tensor]:
    """The features that the stage stores, as `extract` gives them. The last block is computed for the class token only.

    Args:
        vit: a transformer for which `can_pack` is true.
        images: float32 (B, 3, height, width), normalised.
        facet: `k`, `q` or `v` of the last block.

    Returns:
        `patches` and `values` (B, patches, D); `cls` (B, D), after the final norm; `class_state` (B, 2, D): the class
        token's query in the last block and the class token before it.
    """
    before = last_block_input(vit, images)
    if facet == "q":
        q, k, v = queries_keys_values(vit.model.blocks[-1], before)
    else:
        q, k, v = last_block_class(vit, before, np.zeros(1, np.int64))
    everything = torch.ones(before.shape[:2], dtype=torch.bool, device=before.device)
    mixed = masked_attention(q[:, :1], k, v, everything, heads=vit.num_heads)
    return {
        "patches": {"q": q, "k": k, "v": v}[facet][:, vit.num_prefix :],
        "values": v[:, vit.num_prefix :],
        "cls": finish_class(vit, before[:, :1], mixed)[:, 0],
        "class_state": torch.cat([q[:, :1], before[:, :1]], dim=1),
    }


@torch.inference_mode()
def segment_class_features(
    vit: ViT,
    keys_ND: torch.Tensor,
    values_ND: torch.Tensor,
    class_state_2D: torch.Tensor,
    segments_N: torch.Tensor,
    *,
    count: int,
) -> torch.Tensor:
    """A class token of each segment, (S, D): the class query attends to the patches of the segment only.

    This masks the attention of the last block.
    Unlike masked attention on a crop, the patches have attended to the whole image. The forward pass is that of stage
    features, so that all segments together cost one small attention. This method is usseg's own; no published system
    uses it.

    Args:
        vit: a transformer for which `can_pack` is true.
        keys_ND, values_ND: keys and values of the image's patches in the last block.
        class_state_2D: the query of the class token in the last block, and the class token before that block.
        segments_N: segment of each patch. Segments 1 to `count` are embedded; each has at least one patch.
        count: number of segments.
    """
    allowed = segments_N[None] == torch.arange(1, count + 1, device=segments_N.device)[:, None]
    q, k, v = (split_heads(x[None], vit.num_heads)[0] for x in (class_state_2D[:1], keys_ND, values_ND))
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    weights = functional.softmax(scores.masked_fill(~allowed[None], float("-inf")), dim=-1)
    mixed = (weights @ v).transpose(0, 1).flatten(1)
    return finish_class(vit, class_state_2D[1:].expand(1, count, -1), mixed[None])[0]
