"""The concept generator: attention to the tokens of an image turns shared prototypes into its concepts.

Letters: B images, N tokens, K concepts, C channels, H heads, W channels of a head.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

ROUNDING = 1e-6  # cosines that differ by less are equal


class Attention(nn.Module):
    """Scaled dot-product attention of few queries to many tokens, with W = C / H, rounded up.

    The queries are multiplied with the key weights, and the attended tokens with the value weights: q (W x) = (q W) x.
    The result equals that of keys and values of every token, with much less work. Keys have no bias, because it would
    not change the result.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads, self.width = heads, math.ceil(channels / heads)
        self.query = nn.Linear(channels, heads * self.width)
        self.key = nn.Linear(channels, heads * self.width, bias=False)
        self.value = nn.Linear(channels, heads * self.width)
        self.out = nn.Linear(heads * self.width, channels)

    def forward(self, queries_BKC: Tensor, tokens_BNC: Tensor) -> Tensor:
        """Queries (B, K, C) and tokens (B, N, C) -> attended values (B, K, C)."""
        heads = (self.heads, self.width)
        queries = self.query(queries_BKC).unflatten(2, heads)
        keyed_queries = torch.einsum("bkhw,hwc->bkhc", queries, self.key.weight.unflatten(0, heads)).flatten(1, 2)
        weights = torch.softmax(keyed_queries @ tokens_BNC.transpose(1, 2) / math.sqrt(self.width), dim=2)
        attended = (weights @ tokens_BNC).unflatten(1, (-1, self.heads))
        values = torch.einsum("bkhc,hwc->bkhw", attended, self.value.weight.unflatten(0, heads))
        out: Tensor = self.out(values.flatten(2) + self.value.bias)
        return out


class Update(nn.Module):
    """One update of the concepts: attention to the tokens, attention among the concepts, and an MLP.

    Each output is added to its input; a layer norm follows.
    """

    def __init__(self, channels: int, *, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.to_tokens, self.to_concepts = Attention(channels, heads), Attention(channels, heads)
        layers = (nn.Linear(channels, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, channels))
        self.mlp = nn.Sequential(*layers)
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(self, concepts_BKC: Tensor, tokens_BNC: Tensor) -> Tensor:
        """Concepts (B, K, C) and tokens (B, N, C) -> updated concepts (B, K, C)."""
        after_tokens, after_concepts, after_mlp = self.norms
        concepts = after_tokens(concepts_BKC + self.dropout(self.to_tokens(concepts_BKC, tokens_BNC)))
        concepts = after_concepts(concepts + self.dropout(self.to_concepts(concepts, concepts)))
        out: Tensor = after_mlp(concepts + self.mlp(concepts))
        return out


class ConceptGenerator(nn.Module):
    """Prototypes, drawn from N(0, 1) / sqrt(C / 2), and a sequence of updates that share no weights.

    The prototypes are scaled to unit length before the first update.

    Source: Li et al., ACSeg (CVPR 2023); semester report, section 3.1.1.
    """

    def __init__(
        self, channels: int, *, prototypes: int, updates: int, heads: int, hidden: int, dropout: float
    ) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(torch.randn(prototypes, channels) / math.sqrt(channels / 2))
        self.updates = nn.ModuleList(
            Update(channels, heads=heads, hidden=hidden, dropout=dropout) for _ in range(updates)
        )

    def forward(self, tokens_BNC: Tensor) -> Tensor:
        """The concepts of every image, (B, K, C), not normalised. The tokens (B, N, C) are not normalised either."""
        concepts = functional.normalize(self.prototypes, dim=1).expand(len(tokens_BNC), -1, -1)
        for update in self.updates:
            concepts = update(concepts, tokens_BNC)
        return concepts


def concept_scores(tokens_BNC: Tensor, concepts_BKC: Tensor) -> Tensor:
    """The cosine of every token and concept, (B, N, K); 0 for a zero vector."""
    unit = functional.normalize(tokens_BNC, dim=2, eps=1e-8)
    return unit @ functional.normalize(concepts_BKC, dim=2, eps=1e-8).transpose(1, 2)


def nearest_concept(scores_BNK: Tensor) -> Tensor:
    """The concept with the largest score for every token, int64 (B, N).

    Among scores equal up to rounding the first counts.
    """
    best = scores_BNK.amax(dim=2, keepdim=True)
    return (scores_BNK >= best - ROUNDING).to(torch.uint8).argmax(dim=2)


def concepts_used(scores_BNK: Tensor) -> Tensor:
    """The number of concepts that are the nearest concept of at least one token, int64 (B,)."""
    return functional.one_hot(nearest_concept(scores_BNK), scores_BNK.shape[2]).any(dim=1).sum(dim=1)
