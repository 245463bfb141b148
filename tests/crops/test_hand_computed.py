"""Values of the specification (boxes, section 3.3; masked attention, section 4) worked out by hand."""

import numpy as np
import pytest
import torch

from usseg.stages.crops.boxes import grown_mask, segment_boxes
from usseg.stages.features.class_tokens import finish_class
from usseg.stages.features.networks import from_state_dict
from usseg.stages.features.transformer import (
    class_features,
    last_block_input,
    masked_attention,
    queries_keys_values,
)


def test_three_by_three_block() -> None:
    segments = np.zeros((16, 16), np.int64)
    segments[6:9, 6:9] = 1
    assert grown_mask(segments == 1, erode=2, dilate=0).sum() == 1
    assert grown_mask(segments == 1, erode=2, dilate=5).sum() == 61
    ids, boxes, _ = segment_boxes(segments, erode=2, dilate=5)
    np.testing.assert_array_equal(ids, [1])
    np.testing.assert_array_equal(boxes * 16, [[32, 32, 208, 208]])


def test_two_by_two_block_in_a_corner() -> None:
    segments = np.zeros((16, 16), np.int64)
    segments[:2, :2] = 3
    np.testing.assert_array_equal(segment_boxes(segments, erode=2, dilate=5)[1], [[0, 0, 6, 6]])


@pytest.mark.parametrize(
    ("heads", "expected"), [(1, (0.186324, 0.307196, 0.506480, 0)), (2, (0.248255, 0.503490, 0.672842, 0))]
)
def test_masked_attention_toy(heads: int, expected: tuple[float, ...]) -> None:
    """One head is how the original code computes it, two are right."""
    query = torch.tensor([[[1.0, 0, 0, 2]]])
    keys = torch.tensor([[[0.0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [5, 5, 5, 5]]])
    allowed = torch.tensor([[True, True, True, False]])
    mixed = masked_attention(query, keys, torch.eye(4)[None], allowed, heads=heads)
    np.testing.assert_allclose(mixed[0, 0], expected, atol=1e-6)


@pytest.fixture(scope="module")
def vit():
    from timm.models.vision_transformer import VisionTransformer

    torch.manual_seed(0)
    model = VisionTransformer(img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3, num_classes=0)
    state = {key: torch.randn_like(value) * 0.3 for key, value in model.state_dict().items()}
    return from_state_dict(state, num_heads=3)


def test_a_full_mask_is_the_ordinary_class_token(vit) -> None:
    images = torch.randn(2, 3, 24, 40, generator=torch.Generator().manual_seed(1))
    full = torch.ones(2, 15, dtype=torch.bool)
    plain = class_features(vit, images)
    np.testing.assert_allclose(class_features(vit, images, full), plain, atol=1e-5)
    half = full.clone()
    half[:, ::2] = False
    assert (class_features(vit, images, half) - plain).abs().max() > 1e-3


def class_by(vit, images: torch.Tensor, allowed: torch.Tensor, *, heads: int) -> torch.Tensor:
    """The class token of the last block by masked attention with this number of heads."""
    with torch.inference_mode():
        before = last_block_input(vit, images)
        q, k, v = queries_keys_values(vit.model.blocks[-1], before)
        return finish_class(vit, before[:, :1], masked_attention(q[:, :1], k, v, allowed, heads=heads))[:, 0]


def test_one_head_is_not_the_ordinary_class_token(vit) -> None:
    """The report's code, which ignores heads, fails the check above."""
    images = torch.randn(2, 3, 24, 40, generator=torch.Generator().manual_seed(1))
    plain, full = class_features(vit, images), torch.ones(2, 16, dtype=torch.bool)
    torch.testing.assert_close(class_by(vit, images, full, heads=3), plain, atol=1e-5, rtol=0)
    assert (class_by(vit, images, full, heads=1) - plain).abs().max() > 1e-2


def test_a_mask_is_a_bias_on_the_keys_of_the_class_query(vit) -> None:
    """The ordinary block with minus infinity added to the scores of the class token, written out."""
    images = torch.randn(2, 3, 24, 40, generator=torch.Generator().manual_seed(1))
    masks = torch.rand(2, 15, generator=torch.Generator().manual_seed(2)) < 0.4
    block = vit.model.blocks[-1]
    with torch.inference_mode():
        before = last_block_input(vit, images)
        q, k, v = block.attn.qkv(block.norm1(before)).reshape(2, 16, 3, 3, 8).permute(2, 0, 3, 1, 4)
        bias = torch.zeros(2, 1, 16, 16)
        bias[:, 0, 0, 1:] = torch.where(masks, 0.0, -torch.inf)
        mixed = torch.softmax(q @ k.transpose(2, 3) / 8**0.5 + bias, dim=3) @ v
        tokens = before + block.attn.proj(mixed.transpose(1, 2).reshape(2, 16, 24))
        expected = vit.model.norm(tokens + block.mlp(block.norm2(tokens)))[:, 0]
    torch.testing.assert_close(class_features(vit, images, masks), expected, atol=1e-5, rtol=0)


def test_an_empty_mask_sees_only_the_class_token(vit) -> None:
    images = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    none = torch.zeros(1, 4, dtype=torch.bool)
    with torch.inference_mode():
        before = last_block_input(vit, images)
        value = queries_keys_values(vit.model.blocks[-1], before)[2][:, :1]
        expected = finish_class(vit, before[:, :1], value)[:, 0]
    torch.testing.assert_close(class_features(vit, images, none), expected, atol=1e-6, rtol=0)


def test_a_mask_of_another_size_than_the_crop_is_refused(vit) -> None:
    images = torch.randn(1, 3, 16, 24, generator=torch.Generator().manual_seed(2))
    with pytest.raises(RuntimeError):
        class_features(vit, images, torch.ones(1, 5, dtype=torch.bool))


def test_the_mask_of_a_box_is_the_grown_one() -> None:
    segments = np.zeros((12, 12), np.int64)
    segments[4:8, 4:7] = 1
    _, boxes, masks = segment_boxes(segments, erode=1, dilate=2)
    x0, y0, x1, y1 = boxes[0]
    grown = grown_mask(segments == 1, erode=1, dilate=2)
    np.testing.assert_array_equal(masks[0], grown[y0:y1, x0:x1])
    assert masks[0].sum() == grown.sum() > (segments == 1).sum()
