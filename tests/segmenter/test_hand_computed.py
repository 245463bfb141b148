"""The modularity loss: values worked out by hand, and a dense restatement of the formula."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from usseg.stages.segmenter import modularity
from usseg.stages.segmenter.concepts import concept_scores, concepts_used, nearest_concept
from usseg.stages.segmenter.modularity import modularity_loss

PAIRS_OF_TWO = [[1.0, 0], [1, 0], [0, 1], [0, 1]]
# Cosines 1, .5, 0: unit vectors with A = [[1, .5, 0], [.5, 1, .5], [0, .5, 1]].
CHAIN = np.linalg.cholesky(np.array([[1, 0.5, 0], [0.5, 1, 0.5], [0, 0.5, 1]]))


def double(values) -> torch.Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float64)


def plain_loss(tokens_BNC: torch.Tensor, scores_BNK: torch.Tensor, *, zero_diag: bool) -> torch.Tensor:
    """The formula, with a tensor of size B x N x N x K."""
    unit = functional.normalize(tokens_BNC, dim=2, eps=1e-8)
    graph = torch.relu(unit @ unit.transpose(1, 2))
    if zero_diag:
        graph = graph * (1 - torch.eye(graph.shape[1], dtype=graph.dtype))
    degrees, total = graph.sum(dim=2), graph.sum(dim=(1, 2))
    total = torch.where(total > 0, total, torch.inf)
    weights = graph - degrees[:, :, None] * degrees[:, None] / total[:, None, None]
    shares = torch.relu(scores_BNK)
    together = (shares[:, :, None] * shares[:, None]).max(dim=3).values
    return -(weights * together).sum(dim=(1, 2)) / total


def random_images(images: int, tokens: int, concepts: int, channels: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(images * 100 + tokens)
    shape = (images, tokens, channels)
    values = torch.randn(shape, dtype=torch.float64, generator=draw) + 0.5
    centers = torch.randn((images, concepts, channels), dtype=torch.float64, generator=draw) + 0.5
    return values, concept_scores(values, centers)


@pytest.mark.parametrize("zero_diag", [True, False])
@pytest.mark.parametrize(
    ("concepts", "loss"),
    [([[1, 0], [0, 1]], -0.5), ([[1, 1]], 0), ([[1, 0]], -0.25)],
    ids=["both", "their mean", "one of them"],
)
def test_two_kinds_of_tokens(concepts: list, loss: float, zero_diag: bool) -> None:
    tokens = double([PAIRS_OF_TWO])
    scores = concept_scores(tokens, double([concepts]))
    assert float(modularity_loss(tokens, scores, zero_diag=zero_diag)) == pytest.approx(loss, abs=1e-12)


@pytest.mark.parametrize(("zero_diag", "loss"), [(False, -0.22), (True, 0.125)])
def test_a_chain_of_three_tokens(zero_diag: bool, loss: float) -> None:
    scores = double([[[1, 0], [1, 0], [0, 1]]])
    assert float(modularity_loss(double([CHAIN]), scores, zero_diag=zero_diag)) == pytest.approx(loss, abs=1e-12)


@pytest.mark.parametrize("zero_diag", [True, False])
def test_a_constant_image_has_no_modularity(zero_diag: bool) -> None:
    tokens = double(np.tile([3.0, 1, 2], (1, 9, 1)))
    scores = concept_scores(tokens, double([[[1, 0, 0], [1, 1, 1], [1, 0, 2.0]]])).requires_grad_()
    loss = modularity_loss(tokens, scores, zero_diag=zero_diag)
    loss.sum().backward()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-12)
    if not zero_diag:  # A_ij = k_i k_j / 2m everywhere
        np.testing.assert_allclose(scores.grad, 0, atol=1e-12)
    assert int(concepts_used(scores)) == 1


@pytest.mark.parametrize("zero_diag", [True, False])
@pytest.mark.parametrize(
    "tokens",
    [
        [[2.0, 1]],
        [[1.0, 0], [0, 1]],
        [[1.0, 0], [-1, 0]],
        [[1.0, 1e-160], [0, 1e-160]],
        [[0.0, 0], [0, 0]],
        [[0.0, 0], [1, 1], [1, 2]],
    ],
    ids=["one token", "orthogonal", "opposite", "nearly zero", "zeros", "one zero"],
)
def test_graphs_without_edges(tokens: list, zero_diag: bool) -> None:
    values = double([tokens])
    scores = concept_scores(values, double([[[1, 0], [0.5, 1], [0, 0]]])).requires_grad_()
    loss = modularity_loss(values, scores, zero_diag=zero_diag)
    loss.sum().backward()
    torch.testing.assert_close(loss, plain_loss(values, scores, zero_diag=zero_diag))
    assert torch.isfinite(scores.grad).all()
    if len(tokens) == 1:
        assert float(loss.detach()) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("zero_diag", [True, False])
@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("concepts", [1, 2, 6])
@pytest.mark.parametrize("pairs", [1, 60, 2**22], ids=["a row", "some rows", "all rows"])
def test_loss_and_gradient_are_those_of_the_formula(
    images: int, concepts: int, pairs: int, zero_diag: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(modularity.PAIRS, "cpu", pairs)
    tokens, scores = random_images(images, 11, concepts)
    slopes = []
    for function in (modularity_loss, plain_loss):
        leaf = scores.clone().requires_grad_()
        loss = function(tokens, leaf, zero_diag=zero_diag)
        (loss * torch.arange(1, images + 1)).sum().backward()
        slopes.append((loss.detach(), leaf.grad))
    torch.testing.assert_close(slopes[0], slopes[1])
    assert (slopes[0][1] != 0).any()
    assert torch.autograd.gradcheck(
        lambda leaf: modularity_loss(tokens, leaf, zero_diag=zero_diag), scores.clone().requires_grad_()
    )


def test_the_loss_is_bounded_and_prototypes_may_be_permuted() -> None:
    tokens, scores = random_images(40, 9, 5)
    for zero_diag in (True, False):
        loss = modularity_loss(tokens, scores, zero_diag=zero_diag)
        assert (loss.abs() <= 1).all()
        torch.testing.assert_close(modularity_loss(tokens, scores[..., [3, 0, 4, 1, 2]], zero_diag=zero_diag), loss)
        torch.testing.assert_close(modularity_loss(7 * tokens, scores, zero_diag=zero_diag), loss)


def test_an_image_has_the_same_loss_in_any_company() -> None:
    tokens, scores = random_images(5, 8, 3)
    together = modularity_loss(tokens, scores)
    for i in range(5):
        torch.testing.assert_close(modularity_loss(tokens[i : i + 1], scores[i : i + 1])[0], together[i])


def test_no_tensor_holds_all_pairs_of_all_concepts(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.utils._python_dispatch import TorchDispatchMode

    images, count, concepts = 3, 64, 6
    monkeypatch.setitem(modularity.PAIRS, "cpu", images * count * 8)  # eight rows at a time
    tokens, scores = random_images(images, count, concepts)
    leaf = scores.clone().requires_grad_()
    largest, kept = [0], []

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            found = [
                part for part in (out if isinstance(out, (tuple, list)) else [out]) if isinstance(part, torch.Tensor)
            ]
            largest[0] = max([largest[0], *(part.numel() for part in found)])
            return out

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    with Sizes(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        modularity_loss(tokens, leaf).sum().backward()
    assert largest[0] == images * count * 8
    assert max(kept) == images * count * concepts


def test_concepts_used() -> None:
    scores = torch.eye(4)[None, [0, 0, 2, 3]].repeat(2, 1, 1)
    scores[1] = 0  # equal everywhere: the first
    assert concepts_used(scores).tolist() == [3, 1]


def test_of_equal_concepts_the_first_is_taken() -> None:
    scores = torch.tensor([[[0.5, 0.5 + 1e-9, 0.4], [0.1, 0.2, 0.2 - 1e-9], [-0.3, -0.4, -0.3]]], dtype=torch.float64)
    assert nearest_concept(scores).tolist() == [[0, 1, 0]]
