"""The modularity of soft segmentations.

Letters: B images, N tokens, K concepts, C channels, R tokens of a block.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

# Pairs of tokens in memory at a time: as many as fit into the cache of a core, or as keep a GPU busy.
PAIRS = {"cpu": 2**19, "cuda": 2**24}
EDGELESS = 1e-12  # a graph with a smaller 2m has no edges


def modularity_loss(tokens_BNC: Tensor, scores_BNK: Tensor, *, zero_diag: bool = True) -> Tensor:
    """Minus the modularity of the soft segmentation of every image: (B,), in [-1, 1].

    A_ij = max(0, cos(x_i, x_j)), k_i = sum_j A_ij, 2m = sum_i k_i, s = max(0, scores),
    L = - 1 / 2m sum_ij (A_ij - k_i k_j / 2m) max_c s_ic s_jc; L = 0 where no two tokens are similar (2m = 0).
    The graph is constant, so that only the scores get a gradient. A pair (i, j) contributes to the gradient of the
    concept c of the maximum only.

    Args:
        tokens_BNC: features, not normalised.
        scores_BNK: cosines of tokens and concepts.
        zero_diag: true: A_ii = 0 (the semester report's code); false: A_ii = 1. The sum includes i = j in both cases.

    Returns:
        (B,). The memory for pairs is bounded by `PAIRS`; each pair is computed twice. A batch of more pairs should be
        split by images.

    Source: Li et al., ACSeg (CVPR 2023), modularity loss.
    """
    loss: Tensor = Modularity.apply(tokens_BNC, scores_BNK, zero_diag)
    return loss


class Modularity(torch.autograd.Function):
    """The loss and its gradient in one pass, so that no N x N array is kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, tokens_BNC: Tensor, scores_BNK: Tensor, zero_diag: bool) -> Tensor:
        """The loss (B,). Its gradient (B, N, K) is stored for the backward pass."""
        unit = functional.normalize(tokens_BNC, dim=2, eps=1e-8)
        shares_BKN = scores_BNK.clamp(min=0).transpose(1, 2).contiguous()
        tokens = unit.shape[1]
        size = max(1, PAIRS[unit.device.type] // (len(unit) * tokens))
        blocks = [slice(start, min(start + size, tokens)) for start in range(0, tokens, size)]
        degrees_BN = torch.cat([affinity(unit, rows, zero_diag=zero_diag).sum(dim=2) for rows in blocks], dim=1)
        total_B = degrees_BN.sum(dim=1)
        per_pair_B = torch.where(total_B > EDGELESS, 1 / total_B, torch.zeros_like(total_B))
        loss = torch.zeros_like(total_B)
        slopes_BKN = torch.zeros_like(shares_BKN)
        for rows in blocks:
            expected = degrees_BN[:, rows, None] * degrees_BN[:, None]
            weights_BRN = affinity(unit, rows, zero_diag=zero_diag).sub_(expected.mul_(per_pair_B[:, None, None]))
            best_BRN = joint_membership(shares_BKN, rows, 0)
            both_BRN = torch.empty_like(best_BRN)
            for concept in range(1, shares_BKN.shape[1]):
                torch.maximum(best_BRN, joint_membership(shares_BKN, rows, concept, out=both_BRN), out=best_BRN)
            loss -= torch.mul(weights_BRN, best_BRN, out=both_BRN).sum(dim=(1, 2))
            for concept in range(shares_BKN.shape[1]):
                joint_membership(shares_BKN, rows, concept, out=both_BRN)
                owned_BRN = torch.eq(both_BRN, best_BRN, out=both_BRN).mul_(weights_BRN)
                slopes_BKN[:, concept, rows] = -2 * (owned_BRN @ shares_BKN[:, concept, :, None])[..., 0]
                weights_BRN -= owned_BRN  # where several concepts reach the maximum, the first one gets the gradient
        ctx.save_for_backward(slopes_BKN.transpose(1, 2) * per_pair_B[:, None, None] * (scores_BNK > 0))
        return loss * per_pair_B

    @staticmethod
    def backward(ctx: Any, *slope_B: Tensor) -> tuple[None, Tensor, None]:
        """Multiply the stored gradient with the gradient of the loss."""
        (slopes,) = ctx.saved_tensors
        return None, slopes * slope_B[0][:, None, None], None


def affinity(unit_BNC: Tensor, rows: slice, *, zero_diag: bool) -> Tensor:
    """The affinity max(0, cosine) of a block of tokens with all tokens, (B, R, N)."""
    weights = (unit_BNC[:, rows] @ unit_BNC.transpose(1, 2)).clamp_(min=0)
    if zero_diag:
        weights[:, torch.arange(rows.stop - rows.start), torch.arange(rows.start, rows.stop)] = 0
    return weights


def joint_membership(shares_BKN: Tensor, rows: slice, concept: int, *, out: Tensor | None = None) -> Tensor:
    """The products s_ic s_jc of one concept c, for a block of tokens i and all tokens j: (B, R, N)."""
    return torch.mul(shares_BKN[:, concept, rows, None], shares_BKN[:, concept, None], out=out)
