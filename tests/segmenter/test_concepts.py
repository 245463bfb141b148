"""The concept generator compared with torch's attention, and on unusual images."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from usseg.stages.segmenter.concepts import Attention, ConceptGenerator, concept_scores


def network(channels: int = 12, **edits) -> ConceptGenerator:
    torch.manual_seed(0)
    settings = {"prototypes": 4, "updates": 2, "heads": 3, "hidden": 8, "dropout": 0.1, **edits}
    return ConceptGenerator(channels, **settings).double()


@pytest.mark.parametrize("heads", [1, 3])
def test_attention_is_that_of_torch(heads: int) -> None:
    torch.manual_seed(1)
    ours = Attention(12, heads).double()
    theirs = torch.nn.MultiheadAttention(12, heads, batch_first=True).double()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        bias_of_keys = torch.randn(12, dtype=torch.float64)  # changes nothing
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, bias_of_keys, ours.value.bias]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    queries, tokens = torch.randn(2, 4, 12, dtype=torch.float64), torch.randn(2, 30, 12, dtype=torch.float64)
    torch.testing.assert_close(ours(queries, tokens), theirs(queries, tokens, tokens, need_weights=False)[0])


def test_heads_need_not_divide_the_channels() -> None:
    attention = Attention(46, 6)
    assert attention.width == 8
    assert attention(torch.randn(1, 2, 46), torch.randn(1, 5, 46)).shape == (1, 2, 46)


def test_the_order_of_operations() -> None:
    model = network(dropout=0.0)
    tokens = torch.randn(2, 7, 12, dtype=torch.float64)
    concepts = functional.normalize(model.prototypes, dim=1).expand(2, -1, -1)
    for update in model.updates:
        first, second, third = update.norms
        concepts = first(concepts + update.to_tokens(concepts, tokens))
        concepts = second(concepts + update.to_concepts(concepts, concepts))
        concepts = third(concepts + update.mlp[3](torch.relu(update.mlp[0](concepts))))
    torch.testing.assert_close(model(tokens), concepts)
    assert len({id(update.mlp[0].weight) for update in model.updates}) == 2


def test_what_is_dropped_while_training() -> None:
    """Dropout follows each attention, and the activation in the MLP, as in the semester report's code."""
    update = network(channels=600, hidden=500).updates[0].train()
    hidden = update.mlp[:3](torch.randn(1, 1, 600, dtype=torch.float64))
    dropped = float((hidden == 0).double().mean())
    assert dropped == pytest.approx(0.5 + 0.5 * 0.1, abs=0.07)  # half by the ReLU
    assert isinstance(update.mlp[2], torch.nn.Dropout)
    assert update.mlp[2].p == update.dropout.p == 0.1


def test_the_prototypes_at_the_start() -> None:
    prototypes = network(400, prototypes=50, updates=1).prototypes.detach()
    assert float(prototypes.std()) == pytest.approx(1 / math.sqrt(200), rel=0.02)
    assert float(prototypes.mean()) == pytest.approx(0, abs=0.002)


def test_the_length_of_a_prototype_and_the_order_of_tokens_do_not_matter() -> None:
    model = network().eval()
    tokens = torch.randn(2, 9, 12, dtype=torch.float64)
    before = model(tokens)
    torch.testing.assert_close(model(tokens.flip(1)), before)
    with torch.no_grad():
        model.prototypes *= 5
    torch.testing.assert_close(model(tokens), before)


def test_equal_prototypes_stay_equal() -> None:
    model = network().eval()
    with torch.no_grad():
        model.prototypes[1] = model.prototypes[0]
    concepts = model(torch.randn(1, 9, 12, dtype=torch.float64))
    torch.testing.assert_close(concepts[:, 0], concepts[:, 1])


@pytest.mark.parametrize("tokens", [torch.zeros(1, 1, 12), torch.ones(2, 5, 12), 1e4 * torch.randn(1, 3, 12)])
@pytest.mark.parametrize("prototypes", [1, 9])
def test_odd_images_are_finite(tokens: torch.Tensor, prototypes: int) -> None:
    model = network(prototypes=prototypes)
    concepts = model(tokens.double())
    scores = concept_scores(tokens.double(), concepts)
    scores.sum().backward()
    assert concepts.shape == (len(tokens), prototypes, 12)
    assert (scores.abs() <= 1 + 1e-9).all()
    gradients = [part.grad for part in model.parameters() if part.grad is not None]
    assert gradients
    assert all(np.isfinite(part.numpy()).all() for part in gradients)


def test_scores_with_zero_vectors_are_zero() -> None:
    scores = concept_scores(torch.tensor([[[0.0, 0], [3, 4]]]), torch.tensor([[[0.0, 0], [0, 2]]]))
    torch.testing.assert_close(scores, torch.tensor([[[0.0, 0], [0, 0.8]]]))
