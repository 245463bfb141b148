"""The losses of Sempart: values worked out by hand, and plain restatements of the formulas."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from usseg.stages.segmenter import cut_losses
from usseg.stages.segmenter.cut_losses import (
    color_edges,
    disagreement,
    normalised_cut,
    reflected,
    token_edges,
    total_variation,
)

TWO_PAIRS = torch.tensor([[[1.0, 0], [1, 0], [0, 1], [0, 1]]], dtype=torch.float64)
IMPULSE = [[0.0, 0, 0], [0, 1, 0], [0, 0, 0]]


def plain_cut(tokens_BNC: torch.Tensor, mask_BN: torch.Tensor, *, tau: float, eps: float) -> torch.Tensor:
    """The formula, with an N x N graph."""
    unit = functional.normalize(tokens_BNC, dim=2, eps=1e-8)
    graph = torch.where(unit @ unit.transpose(1, 2) > tau, 1.0, eps).to(mask_BN.dtype)
    share = mask_BN.clamp(1e-6, 1 - 1e-6)[:, :, None]
    total = torch.zeros(len(graph), dtype=mask_BN.dtype)
    for side in (share, 1 - share):
        cut, degree = (side.transpose(1, 2) @ graph @ other for other in (1 - side, torch.ones_like(side)))
        total = total + (cut / degree.clamp(min=1e-6))[:, 0, 0]
    return total


def plain_variation(mask: torch.Tensor, values: torch.Tensor, weight) -> torch.Tensor:
    """The mean over pixels and 8 neighbours, one image, pixel by pixel."""
    height, width = mask.shape
    bordered = functional.pad(mask[None, None], (1, 1, 1, 1), mode="reflect")[0, 0]
    wide = functional.pad(values[None], (1, 1, 1, 1), mode="reflect")[0]
    total = 0.0
    for y in range(height):
        for x in range(width):
            for dy, dx in [(a, b) for a in (0, 1, 2) for b in (0, 1, 2) if (a, b) != (1, 1)]:
                edge = weight(values[:, y, x], wide[:, y + dy, x + dx])
                total = total + edge * (mask[y, x] - bordered[y + dy, x + dx]) ** 2
    return total / (8 * height * width)


@pytest.mark.parametrize(
    ("mask", "loss"),
    [
        *(([1, 1, 0, 0], 6.0e-6), ([1, 0, 0, 0], 0.66667), ([1, 0, 1, 0], 1.0)),
        *(([0.5] * 4, 1.0), ([0.1] * 4, 1.0), ([1] * 4, 1.0)),
    ],
)
def test_four_tokens_in_two_pairs(mask: list, loss: float) -> None:
    share = torch.tensor([mask], dtype=torch.float64)
    assert float(normalised_cut(TWO_PAIRS, share)) == pytest.approx(loss, rel=1e-3 if loss < 1e-3 else 1e-5)
    assert float(normalised_cut(TWO_PAIRS, 1 - share)) == pytest.approx(loss, rel=1e-3 if loss < 1e-3 else 1e-5)


def random_images(images: int = 3, tokens: int = 13) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(images)
    return torch.tensor(rng.normal(size=(images, tokens, 4)) + 0.3), torch.tensor(rng.random((images, tokens)))


@pytest.mark.parametrize("pairs", [1, 60, 2**22], ids=["a row", "some rows", "all rows"])
@pytest.mark.parametrize(("tau", "eps"), [(0.4, 1e-6), (-0.2, 0.3), (0.9, 1e-6)])
def test_the_cut_and_its_gradient_are_those_of_the_formula(
    tau: float, eps: float, pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cut_losses.PAIRS, "cpu", pairs)
    tokens, mask = random_images()
    mask[0, :3], mask[1] = torch.tensor([0.0, 1, 0.5]), torch.rand(13).round()
    slopes = []
    for function in (normalised_cut, plain_cut):
        leaf = mask.clone().requires_grad_()
        loss = function(tokens, leaf, tau=tau, eps=eps)
        (loss * torch.arange(1, 4)).sum().backward()
        slopes.append((loss.detach(), leaf.grad))
    torch.testing.assert_close(slopes[0], slopes[1])
    assert torch.isfinite(slopes[0][1]).all()
    assert (slopes[0][1][0, :2] == 0).all()  # at 0 and 1


def test_the_cut_is_symmetric_and_tokens_may_be_permuted() -> None:
    tokens, mask = random_images()
    loss, order = normalised_cut(tokens, mask), torch.randperm(13)
    assert ((loss >= 0) & (loss < 2)).all()
    torch.testing.assert_close(normalised_cut(tokens, 1 - mask), loss)
    torch.testing.assert_close(normalised_cut(tokens[:, order], mask[:, order]), loss)
    torch.testing.assert_close(normalised_cut(9 * tokens[1:2], mask[1:2])[0], loss[1])


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 1.0])
def test_a_constant_mask_has_the_value_of_collapse(share: float) -> None:
    tokens, _ = random_images()
    mask = torch.full((3, 13), share, dtype=torch.float64)
    torch.testing.assert_close(normalised_cut(tokens, mask), torch.ones(3, dtype=torch.float64))


def test_a_graph_of_equal_tokens_gives_1_and_no_gradient() -> None:
    mask = torch.rand(1, 9, dtype=torch.float64).requires_grad_()
    loss = normalised_cut(torch.ones(1, 9, 4, dtype=torch.float64), mask)
    loss.sum().backward()
    assert float(loss.detach()) == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(mask.grad, 0, atol=1e-12)


def test_no_tensor_holds_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.utils._python_dispatch import TorchDispatchMode

    monkeypatch.setitem(cut_losses.PAIRS, "cpu", 2 * 64 * 8)  # eight rows at a time
    largest = [0]

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            parts = [
                part for part in (out if isinstance(out, (tuple, list)) else [out]) if isinstance(part, torch.Tensor)
            ]
            largest[0] = max([largest[0], *(part.numel() for part in parts)])
            return out

    tokens, mask = random_images(2, 64)
    with Sizes():
        normalised_cut(tokens, mask.requires_grad_()).sum().backward()
    assert largest[0] == 2 * 64 * 8


def mask_of(values) -> torch.Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float64)[None, None]


def test_variation_of_two_by_two_pixels() -> None:
    mask, flat = mask_of([[1, 0], [1, 0]]), torch.zeros(1, 3, 2, 2, dtype=torch.float64)
    step = torch.zeros_like(flat)
    step[..., 0] = 1
    assert float(total_variation(mask, color_edges(flat))) == pytest.approx(0.75)
    assert float(total_variation(mask, color_edges(step))) == pytest.approx(0.75 * math.exp(-3), rel=1e-6)
    assert float(total_variation(mask, color_edges(step))) == pytest.approx(0.037340, abs=1e-6)
    assert float(total_variation(mask, color_edges(step, sigma=3.0))) == pytest.approx(0.75 * math.exp(-1))
    orthogonal = torch.stack([step[:, 0], 1 - step[:, 0]], dim=1)
    assert float(total_variation(mask, token_edges(orthogonal))) == pytest.approx(7.5e-7)
    assert float(total_variation(mask, token_edges(flat + 1))) == pytest.approx(0.75)


def test_variation_of_an_impulse() -> None:
    flat = torch.zeros(1, 3, 3, 3, dtype=torch.float64)
    assert float(total_variation(mask_of(IMPULSE), color_edges(flat))) == pytest.approx(0.44444, abs=1e-5)


def test_the_border_is_mirrored() -> None:
    values = torch.rand(2, 3, 4, 5)
    torch.testing.assert_close(reflected(values), functional.pad(values, (1, 1, 1, 1), mode="reflect"))
    assert reflected(torch.ones(1, 1, 1, 4)).shape == (1, 1, 3, 6)


def test_variation_and_its_gradient_are_those_of_the_formula() -> None:
    rng = np.random.default_rng(0)
    image, tokens = (torch.tensor(rng.normal(size=(2, 3, 3, 4))) for _ in range(2))
    mask = torch.tensor(rng.random((2, 1, 3, 4)))

    def color(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return torch.exp(-((one - other) ** 2).sum())

    def cosine(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return torch.where(functional.cosine_similarity(one, other, dim=0) > 0.4, 1.0, 1e-6)

    for values, edges, weight in ((image, color_edges(image), color), (tokens, token_edges(tokens), cosine)):
        slopes = []
        for restated in (False, True):
            leaf = mask.clone().requires_grad_()
            plain = [plain_variation(leaf[i, 0], values[i], weight) for i in range(2)]
            loss = torch.stack(plain) if restated else total_variation(leaf, edges)
            (loss * torch.tensor([1.0, 2])).sum().backward()
            slopes.append((loss.detach(), leaf.grad))
        torch.testing.assert_close(slopes[0], slopes[1])


def test_of_a_square_of_eight_pixels_the_four_in_the_middle_count() -> None:
    middle = np.zeros((8, 8))
    middle[3:5, 3:5] = 1
    zero = mask_of([[0.0]])
    assert float(disagreement(zero, mask_of(middle))) == 1.0
    assert float(disagreement(zero, mask_of(1 - middle))) == 0.0
    assert float(disagreement(mask_of([[0.25]]), mask_of(middle))) == 0.5625
