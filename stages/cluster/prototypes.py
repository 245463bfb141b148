"""Prototypes of classes, their losses, and the votes of proposals (PriMaPs-EM).

Letters: N tokens, C channels, K classes.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

UNLABELLED = -1  # label of a token that no proposal covers


class Prototypes(nn.Module):
    """A linear classifier without bias, whose weights are w_k = g_k v_k / |v_k|. All lengths g_k start at 1."""

    def __init__(self, directions_KC: Tensor) -> None:
        super().__init__()
        self.directions = nn.Parameter(directions_KC.clone())
        self.lengths = nn.Parameter(torch.ones(len(directions_KC), device=directions_KC.device))

    def weights(self) -> Tensor:
        """The weights w, (K, C)."""
        return self.lengths[:, None] * functional.normalize(self.directions, dim=1)

    def forward(self, tokens_NC: Tensor) -> Tensor:
        """The logits (N, K) of tokens, which are not normalised."""
        return tokens_NC @ self.weights().T

    @torch.no_grad()
    def follow(self, student: "Prototypes", decay: float) -> None:
        """Move towards a student: the new value is decay * own + (1 - decay) * the student's.

        Directions v and lengths g are averaged, not the weights w.
        """
        for own, new in zip(self.parameters(), student.parameters(), strict=True):
            own.mul_(decay).add_(new, alpha=1 - decay)


def kmeans_loss(tokens_NC: Tensor, directions_KC: Tensor) -> Tensor:
    """Minus the mean over tokens of the largest cosine to a prototype, in [-1, 1]. A zero token has cosine 0.

    Source: Hahn et al., PriMaPs-EM (TMLR 2024); its code takes the mean, its poster the sum.
    """
    cosines = functional.normalize(tokens_NC, dim=1) @ functional.normalize(directions_KC, dim=1).T
    return -cosines.amax(dim=1).mean()


def focal_loss(logits_NK: Tensor, labels_N: Tensor, *, gamma: float) -> Tensor:
    """The cross-entropy of each token, weighted by (1 - chi)^gamma of its label: the mean over all N tokens.

    chi_k is the mean probability of class k over all tokens, labelled or not; it is constant for the gradient. A token
    with label UNLABELLED adds 0 to the sum, and counts in N.

    Source: Hahn et al., PriMaPs-EM (TMLR 2024), equation of the M-step; its code takes the mean.
    """
    log_probabilities = logits_NK.log_softmax(dim=1)
    chi = log_probabilities.detach().exp().mean(dim=0)
    labelled = labels_N != UNLABELLED
    known = labels_N.clamp(min=0)
    own = log_probabilities.gather(1, known[:, None])[:, 0]
    return -((1 - chi).clamp(min=0)[known] ** gamma * own * labelled).mean()


def majority(classes_N: Tensor, proposals_N: Tensor, *, k: int) -> Tensor:
    """The most frequent class of each token's proposal, int64 (N,); UNLABELLED for a token without proposal.

    Among equally frequent classes the smallest counts.

    Args:
        classes_N: int64, the class of each token, in [0, k).
        proposals_N: int64, the proposal of each token, from 1; 0: none. Tokens of different images have different
            proposals.
        k: number of classes.
    """
    count = int(proposals_N.max()) + 1
    votes = torch.bincount(proposals_N * k + classes_N, minlength=count * k).view(count, k)
    winners = votes.argmax(dim=1)
    winners[0] = UNLABELLED
    return winners[proposals_N]


def teacher_decay(call: int, *, largest: float) -> float:
    """The decay of the teacher at an update, numbered from 0: 0, 0, 2/3, 3/4, ... up to `largest`.

    The first two updates copy the student.

    Source: code of PriMaPs-EM.
    """
    return 0.0 if call < 2 else min(call / (call + 1), largest)
