"""Values of spec sections 3.3 and 4 worked out by hand."""

import numpy as np
import pytest
import torch

from stages.crops.boxes import grown_mask, segment_boxes
from stages.features.backbones import class_features, from_state_dict, masked_attention


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


def test_an_empty_mask_sees_only_the_class_token(vit) -> None:
    images = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    found = class_features(vit, images, torch.zeros(1, 4, dtype=torch.bool))
    assert torch.isfinite(found).all()
