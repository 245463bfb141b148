"""The head on frozen tokens and the image: shapes, widths, and what its masks depend on."""

import numpy as np
import pytest
import torch
from torch import Tensor

from usseg.stages.heads.dense_head import DenseHead, normalised


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("masks", [1, 5])
@pytest.mark.parametrize("blocks", [0, 1, 3, 4])
@pytest.mark.parametrize("grid", [(3, 5), (1, 1)])
def test_shapes(masks: int, blocks: int, grid: tuple[int, int]) -> None:
    head = DenseHead(6, masks, blocks=blocks, fine_widths=(9, 7)).eval()
    height, width = (length * 2**blocks for length in grid)
    for size in ((height, width), (height + 3, width + 1)):
        fine, coarse = head(torch.randn(2, 6, *grid), torch.randn(2, 3, *size))
        assert fine.shape == (2, masks, height, width)
        assert coarse.shape == (2, masks, *grid)


def test_the_widths_of_the_paper() -> None:
    """The values that enter the upsamplings have 64, 192 and 128 channels, those that enter the last layer 131."""
    head = DenseHead(384)
    convolutions = [m for m in head.upsamplings.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [(m.in_channels, m.out_channels) for m in convolutions] == [(67, 192), (195, 128), (131, 128), (128, 128)]
    assert head.fine.in_channels == 131
    assert (head.reduce.in_channels, head.reduce.out_channels, head.coarse.in_channels) == (384, 64, 64)
    layer = head.layers[0]
    assert len(head.layers) == 2
    assert (layer.heads, layer.out.in_features, layer.mlp[0].out_features) == (2, 128, 64)
    more = [m for m in DenseHead(384, blocks=4).upsamplings.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [(m.in_channels, m.out_channels) for m in more[2:]] == [(131, 128), (131, 128), (128, 128)]


def test_attention_is_that_of_the_formula() -> None:
    layer = DenseHead(4, width=6, heads=2, head_width=5).layers[0]
    tokens = torch.randn(2, 7, 6)
    normed = layer.norms[0](tokens)
    qkv = (normed @ layer.qkv.weight.T).reshape(2, 7, 3, 2, 5)
    attended = torch.empty(2, 7, 2, 5)
    for image in range(2):
        for head in range(2):
            q, k, v = (qkv[image, :, part, head] for part in range(3))
            attended[image, :, head] = torch.softmax(q @ k.T / 5**0.5, dim=1) @ v
    middle = tokens + layer.out(attended.reshape(2, 7, 10))
    torch.testing.assert_close(layer(tokens), middle + layer.mlp(layer.norms[1](middle)))
    with torch.no_grad():
        torch.testing.assert_close(layer(tokens), middle + layer.mlp(layer.norms[1](middle)))


def test_the_coarse_mask_does_not_depend_on_the_image_nor_on_the_order_of_tokens() -> None:
    head, tokens = DenseHead(4, blocks=2, fine_widths=(8,)).eval(), torch.randn(1, 4, 3, 4)
    coarse = head(tokens, torch.randn(1, 3, 12, 16))[1]
    torch.testing.assert_close(head.coarse_logits(tokens), coarse)
    order = torch.randperm(12)
    shuffled = tokens.flatten(2)[..., order].reshape(tokens.shape)
    torch.testing.assert_close(head.coarse_logits(shuffled).flatten(), coarse.flatten()[order])


def test_in_evaluation_mode_an_image_has_its_mask_in_any_company() -> None:
    head = DenseHead(4, 2, blocks=2, fine_widths=(8,))
    head(torch.randn(3, 4, 3, 4), torch.randn(3, 3, 12, 16))  # statistics of a batch
    head.eval()
    tokens, image = torch.randn(3, 4, 3, 4), torch.randn(3, 3, 12, 16)
    for alone, together in zip(head(tokens[1:2], image[1:2]), head(tokens, image), strict=True):
        torch.testing.assert_close(alone[0], together[1], rtol=1e-4, atol=1e-5)


def test_swapped_sides_are_the_complement() -> None:
    head, tokens, image = (
        DenseHead(4, blocks=1, fine_widths=(8,)).eval(),
        torch.randn(2, 4, 3, 4),
        torch.randn(2, 3, 6, 8),
    )
    before: tuple[Tensor, Tensor] = tuple(map(torch.sigmoid, head(tokens, image)))
    head.swap_sides()
    for first, second in zip(before, map(torch.sigmoid, head(tokens, image)), strict=True):
        torch.testing.assert_close(first + second, torch.ones_like(first))


def test_normalised() -> None:
    color = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    np.testing.assert_allclose(normalised(color), 0, atol=1e-7)
    np.testing.assert_allclose(normalised(color + 0.1).flatten(), [0.1 / 0.229, 0.1 / 0.224, 0.1 / 0.225], rtol=1e-5)
