"""The losses of Sempart: normalised cut, total variation on a graph, agreement of the coarse and the fine mask.

Letters: B images, N tokens, C channels, R tokens of a block, h x w the token grid, H x W pixels. Masks are foreground
probabilities.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

# Pairs of tokens in memory at a time: as many as fit into the cache of a core, or as keep a GPU busy.
PAIRS = {"cpu": 2**19, "cuda": 2**24}
CLEAR = 1e-6  # distance of a mask from 0 and 1
LEAST = 1e-6  # smallest denominator of a cut
NEIGHBOURS = [(row, column) for row in (0, 1, 2) for column in (0, 1, 2) if (row, column) != (1, 1)]


def normalised_cut(tokens_BNC: Tensor, mask_BN: Tensor, *, tau: float = 0.4, eps: float = 1e-6) -> Tensor:
    """The normalised cut of a soft mask of every image: (B,), in [0, 2). A constant mask has 1.

    W_ij = 1 where the cosine of tokens i and j is above `tau`, else `eps`, i = j included. S is the mask within
    [1e-6, 1 - 1e-6]. L = S'W(1 - S) / S'W1 + (1 - S)'WS / (1 - S)'W1. The graph is constant: only the mask gets a
    gradient. S and 1 - S have the same loss.

    The memory for pairs of tokens is bounded by `PAIRS`.

    Source: Two Tricks, section 3; TokenCut (CVPR 2022) for the graph.
    """
    loss: Tensor = NormalisedCut.apply(tokens_BNC, mask_BN, tau, eps)
    return loss


class NormalisedCut(torch.autograd.Function):
    """The loss and its gradient in one pass, so that no N x N array is kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, tokens_BNC: Tensor, mask_BN: Tensor, tau: float, eps: float) -> Tensor:
        """The loss (B,). Its gradient (B, N) is stored for the backward pass."""
        unit = functional.normalize(tokens_BNC, dim=2, eps=1e-8)
        share = mask_BN.clamp(CLEAR, 1 - CLEAR)
        tokens, columns = unit.shape[1], torch.stack([share, 1 - share], dim=2)
        size = max(1, PAIRS[unit.device.type] // (len(unit) * tokens))
        sums = []
        for start in range(0, tokens, size):
            close = unit[:, start : start + size] @ unit.transpose(1, 2) > tau
            sums.append(torch.where(close, 1.0, eps).to(columns.dtype) @ columns)
        to_object, to_rest = torch.cat(sums, dim=1).unbind(dim=2)  # W S and W (1 - S), (B, N)
        degree = to_object + to_rest
        cut = (share * to_rest).sum(dim=1)
        inside, outside = ((part * degree).sum(dim=1) for part in (share, 1 - share))
        of_inside, of_outside = (total.clamp(min=LEAST) for total in (inside, outside))
        slope = (to_rest - to_object) * (1 / of_inside + 1 / of_outside)[:, None]
        slope -= degree * (cut / of_inside**2 * (inside > LEAST))[:, None]
        slope += degree * (cut / of_outside**2 * (outside > LEAST))[:, None]
        free = (mask_BN >= CLEAR) & (mask_BN <= 1 - CLEAR)  # no gradient outside the range
        ctx.save_for_backward(slope * free)
        return cut / of_inside + cut / of_outside

    @staticmethod
    def backward(ctx: Any, *slope_B: Tensor) -> tuple[None, Tensor, None, None]:
        """Multiply the stored gradient with the gradient of the loss."""
        (slopes,) = ctx.saved_tensors
        return None, slopes * slope_B[0][:, None], None, None


def reflected(values_BCHW: Tensor) -> Tensor:
    """Values with a border of one pixel, (B, C, H + 2, W + 2), mirrored at the outer pixels; one pixel is repeated."""
    for dim in (2, 3):
        length = values_BCHW.shape[dim]
        second, last_but_one = (values_BCHW.narrow(dim, place, 1) for place in (min(1, length - 1), max(length - 2, 0)))
        values_BCHW = torch.cat([second, values_BCHW, last_but_one], dim=dim)
    return values_BCHW


def neighbours(values_BCHW: Tensor) -> Iterator[Tensor]:
    """The values of the 8 neighbours of every pixel, each (B, C, H, W). The border is mirrored."""
    height, width = values_BCHW.shape[2:]
    bordered = reflected(values_BCHW)
    for row, column in NEIGHBOURS:
        yield bordered[:, :, row : row + height, column : column + width]


def total_variation(mask_B1HW: Tensor, edges: list[Tensor]) -> Tensor:
    """The mean over pixels and their 8 neighbours of the weight of the edge times the squared difference: (B,).

    Each edge counts in both directions. Pixels at the border have mirrored neighbours.

    Args:
        mask_B1HW: foreground probabilities.
        edges: the weights of the edges to the 8 neighbours in the order of `neighbours`, each (B, 1, H, W).

    Source: Two Tricks, appendix A, "graph total variation", as a mean.
    """
    pairs = zip(edges, neighbours(mask_B1HW), strict=True)
    sums = [(edge * (mask_B1HW - other).square()).mean(dim=(1, 2, 3)) for edge, other in pairs]
    return torch.stack(sums).mean(dim=0)


@torch.no_grad()
def token_edges(tokens_BChw: Tensor, *, tau: float = 0.4, eps: float = 1e-6) -> list[Tensor]:
    """Weights of the edges between neighbouring tokens: 1 where their cosine is above `tau`, else `eps`."""
    unit = functional.normalize(tokens_BChw, dim=1, eps=1e-8)
    close = [(unit * other).sum(dim=1, keepdim=True) > tau for other in neighbours(unit)]
    return [torch.where(one, 1.0, eps).to(unit.dtype) for one in close]


@torch.no_grad()
def color_edges(image_B3HW: Tensor, *, sigma: float = 1.0) -> list[Tensor]:
    """Weights of the edges between neighbouring pixels: exp(-squared difference / sigma).

    Args:
        image_B3HW: RGB, normalised by ImageNet's mean and standard deviation.
        sigma: scale of squared differences, summed over the three channels.
    """
    gaps = ((image_B3HW - other).square().sum(dim=1, keepdim=True) for other in neighbours(image_B3HW))
    return [torch.exp(-gap / sigma) for gap in gaps]


def disagreement(coarse_B1hw: Tensor, fine_B1HW: Tensor) -> Tensor:
    """The mean squared difference of the coarse mask and the reduced fine mask: (B,).

    The fine mask is reduced bilinearly without antialias: of a square of 8 x 8 pixels only the 4 in the middle count.

    Source: Two Tricks, appendix A, "super-resolution", as a mean.
    """
    size = coarse_B1hw.shape[2:]
    reduced = functional.interpolate(fine_B1HW, size=size, mode="bilinear", align_corners=False)
    return (coarse_B1hw - reduced).square().mean(dim=(1, 2, 3))
