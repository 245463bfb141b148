"""A small head on frozen tokens and the image: a coarse mask on the token grid, and a fine mask on a finer grid.

Letters: B images, C channels of a token, K channels of a mask, h x w the token grid, H x W the fine grid, where
H = h 2^blocks and W = w 2^blocks, D channels inside the head.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, red, green, blue
FINE_WIDTHS = (192, 128, 128)  # channels after the first, second and every later upsampling
RGB = 3


class Layer(nn.Module):
    """A transformer layer with norms before attention and MLP; no dropout, no position of the tokens."""

    def __init__(self, width: int, *, heads: int, head_width: int, hidden: int) -> None:
        super().__init__()
        self.heads, inner = heads, heads * head_width
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv, self.out = nn.Linear(width, 3 * inner, bias=False), nn.Linear(inner, width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """Tokens (B, N, D) -> tokens (B, N, D)."""
        before_attention, before_mlp = self.norms
        qkv = self.qkv(before_attention(tokens_BND)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = attention(qkv[0], qkv[1], qkv[2])
        tokens_BND = tokens_BND + self.out(attended.transpose(1, 2).flatten(2))
        return tokens_BND + self.mlp(before_mlp(tokens_BND))


def attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Scaled dot-product attention, each (B, head, N, channel). The gradient of a fused one may differ between runs."""
    if not torch.is_grad_enabled():
        return functional.scaled_dot_product_attention(queries, keys, values)
    scores = queries @ keys.transpose(2, 3) / math.sqrt(queries.shape[3])
    return torch.softmax(scores, dim=3) @ values


def convolution(channels: int, width: int) -> nn.Sequential:
    """A 3 x 3 convolution with batch norm and leaky ReLU."""
    return nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.LeakyReLU(0.01))


class DenseHead(nn.Module):
    """The head of Sempart, for one or more channels.

    Args:
        channels: C.
        masks: K.
        blocks: number of upsamplings by 2 of the fine branch: 3 for patches of 8 pixels and a mask of the image's size.
        width: D.
        depth: number of transformer layers; 0: none, a token then knows no other token on the coarse grid.
        heads: attention heads of a layer.
        head_width: channels of an attention head.
        fine_widths: channels after each upsampling; the last number stands for all further ones.

    Source: the re-implementation of Sempart in "Two tricks", appendix A; defaults from there, with patches of 8 pixels.
    """

    def __init__(
        self,
        channels: int,
        masks: int = 1,
        *,
        blocks: int = 3,
        width: int = 64,
        depth: int = 2,
        heads: int = 2,
        head_width: int = 64,
        fine_widths: tuple[int, ...] = FINE_WIDTHS,
    ) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, width, 1)
        self.layers = nn.ModuleList(
            Layer(width, heads=heads, head_width=head_width, hidden=width) for _ in range(depth)
        )
        self.coarse = nn.Conv2d(width, masks, 1)
        self.upsamplings, before = nn.ModuleList(), width
        for number in range(blocks):
            after = fine_widths[min(number, len(fine_widths) - 1)]
            block = convolution(before + RGB, after)
            if number == blocks - 1:
                block.extend(convolution(after, after))
            self.upsamplings.append(block)
            before = after
        self.fine = nn.Conv2d(before + RGB, masks, 1)

    def forward(self, tokens_BChw: Tensor, image_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, C, h, w) and normalised RGB of any size -> fine logits (B, K, H, W), coarse logits (B, K, h, w).

        The image must show what the grid covers. It is resized bilinearly, without antialiasing.
        """
        values = self.mixed(tokens_BChw)
        coarse = self.coarse(values)
        for block in self.upsamplings:
            values = functional.interpolate(values, scale_factor=2, mode="bilinear", align_corners=False)
            values = block(torch.cat([values, resized(image_B3HW, values)], dim=1))
        return self.fine(torch.cat([values, resized(image_B3HW, values)], dim=1)), coarse

    def coarse_logits(self, tokens_BChw: Tensor) -> Tensor:
        """Tokens (B, C, h, w) -> coarse logits (B, K, h, w), without the work of the fine branch."""
        logits: Tensor = self.coarse(self.mixed(tokens_BChw))
        return logits

    def mixed(self, tokens_BChw: Tensor) -> Tensor:
        """Tokens (B, C, h, w) -> the values (B, D, h, w) that both masks are computed from."""
        values: Tensor = self.reduce(tokens_BChw)
        if len(self.layers):
            sequence = values.flatten(2).transpose(1, 2)
            for layer in self.layers:
                sequence = layer(sequence)
            values = sequence.transpose(1, 2).unflatten(2, tokens_BChw.shape[2:])
        return values

    def swap_sides(self) -> None:
        """For one mask: the probability p of a pixel becomes 1 - p, in both masks, for every image."""
        with torch.no_grad():
            for last in (self.coarse, self.fine):
                for numbers in last.parameters():
                    numbers.neg_()


def resized(image_B3HW: Tensor, values_BCHW: Tensor) -> Tensor:
    """The image in the height and width of other values."""
    size = values_BCHW.shape[2:]
    if image_B3HW.shape[2:] == size:
        return image_B3HW
    return functional.interpolate(image_B3HW, size=size, mode="bilinear", align_corners=False)


def normalised(image_B3HW: Tensor) -> Tensor:
    """RGB in [0, 1], float32 (B, 3, H, W) -> the input of the head: by ImageNet's mean and standard deviation."""
    mean, std = (torch.tensor(values).to(image_B3HW.device).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (image_B3HW - mean) / std
