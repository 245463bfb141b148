"""Projections of the tokens of an image by heads trained on that image alone (SimSAM), or by PCA.

B images trained at once, N tokens, C channels, S steps. Image b never meets image b'.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]
DEGREES = 15.0  # largest rotation of a view
SHIFT = 0.1  # largest shift, share of either side
ZOOM = 0.1  # largest change of scale
COLLAPSED = 1e-4  # spread of the tokens' directions below which a head tells them no longer apart


@dataclass(frozen=True)
class Heads:
    """Projector z = elu(x W^T + b) and predictor p = z W^T + b of every image; W (B, out, in) and b (B, out) as torch's Linear."""

    projector_weight: Tensor
    projector_bias: Tensor
    predictor_weight: Tensor
    predictor_bias: Tensor

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """All four."""
        return (self.projector_weight, self.projector_bias, self.predictor_weight, self.predictor_bias)

    def project(self, rows_BNC: Tensor) -> Tensor:
        """z, (B, N, C)."""
        return functional.elu(linear(rows_BNC, self.projector_weight, self.projector_bias))

    def predict(self, rows_BNC: Tensor) -> Tensor:
        """p, (B, N, C)."""
        return linear(rows_BNC, self.predictor_weight, self.predictor_bias)


@dataclass(frozen=True)
class Training:
    """Trained heads, and the loss of every image and step, (B, S), in [-1, 1]."""

    heads: Heads
    losses: F32


def linear(rows_BNC: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A linear layer of its own for every image."""
    return torch.baddbmm(bias[:, None], rows_BNC, weight.transpose(1, 2))


def random_heads(seeds: list[int], channels: int, *, device: str = "cpu") -> Heads:
    """Heads of images, all parameters uniform in +-1 / sqrt(C) (torch's default), drawn for each image from its own seed."""
    limit = 1 / np.sqrt(channels)
    drawn = []
    for part, shape in enumerate(((channels, channels), (channels,)) * 2):
        images = [np.random.default_rng([seed, part]).uniform(-limit, limit, shape) for seed in seeds]
        drawn.append(torch.from_numpy(np.stack(images).astype(np.float32)).to(device))
    return Heads(*drawn)


def token_views(features_NC: F32, grid: tuple[int, int], *, seed: int) -> tuple[F32, npt.NDArray[np.bool_]]:
    """Each token as it is found again in two randomly turned, shifted and scaled copies of the token map.

    A copy is drawn bilinearly on the grid and read bilinearly where the token went to, so that row i of both is token i.

    Args:
        features_NC: float32 (token, channel), row-major on `grid`.
        grid: rows and columns.
        seed: of the image.

    Returns:
        float32 (2, token, channel); bool (token,): inside both copies, at least the middle one.
    """
    h, w = grid
    tokens = torch.from_numpy(np.ascontiguousarray(features_NC, np.float32)).T.reshape(1, -1, h, w)
    rng = np.random.default_rng([seed, 4])
    rows, columns = np.divmod(np.arange(h * w), w)
    place = np.stack([columns + 0.5 - w / 2, rows + 0.5 - h / 2])
    inside = np.ones(h * w, np.bool_)
    views = []
    for _ in range(2):
        angle = np.radians(rng.uniform(-DEGREES, DEGREES))
        zoom = rng.uniform(1 - ZOOM, 1 + ZOOM)
        turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shift = rng.uniform(-SHIFT, SHIFT, (2, 1)) * [[w], [h]]
        there = turn @ place + shift
        copy = read(tokens, np.linalg.solve(turn, place - shift)).reshape(tokens.shape)
        views.append(read(copy, there)[0].T)
        inside &= (np.abs(there) <= [[w / 2], [h / 2]]).all(axis=0)
    if not inside.any():
        inside[np.abs(place).sum(axis=0).argmin()] = True
    return torch.stack(views).numpy(), inside


def token_orders(seeds: list[int], tokens: int, *, epochs: int) -> tuple[I64, I64]:
    """A random order of the tokens for every image and epoch, int64 (image, epoch, token), the same for both views: pairs stay together."""
    drawn = np.stack(
        [np.random.default_rng([seed, 5]).permuted(np.tile(np.arange(tokens), (epochs, 1)), axis=1) for seed in seeds]
    )
    return drawn, drawn


def read(tokens_1Chw: Tensor, place_2N: npt.NDArray[np.floating]) -> Tensor:
    """Bilinear values at places (x, y) measured from the middle of the map in tokens; beyond it the border goes on: (1, C, N)."""
    h, w = tokens_1Chw.shape[2:]
    places = torch.from_numpy((2 * place_2N / [[w], [h]]).T.astype(np.float32))[None, None]
    return functional.grid_sample(tokens_1Chw, places, padding_mode="border", align_corners=False)[:, :, 0]


def agreement(predicted_BNC: Tensor, target_BNC: Tensor, weights_BN: Tensor) -> Tensor:
    """Minus the weighted mean cosine with targets that take no gradient, (B,)."""
    cosines = functional.cosine_similarity(predicted_BNC, target_BNC.detach(), dim=2, eps=1e-8)
    return -(cosines * weights_BN).sum(dim=1) / weights_BN.sum(dim=1).clamp(min=1.0)


def siamese_loss(views: tuple[Tensor, Tensor], heads: Heads, weights_BN: Tensor) -> Tensor:
    """(D(p0, z1) + D(p1, z0)) / 2 of every image, (B,), in [-1, 1].

    Source: Chen and He, SimSiam (CVPR 2021), equation 4.
    """
    z0, z1 = heads.project(views[0]), heads.project(views[1])
    return 0.5 * (agreement(heads.predict(z0), z1, weights_BN) + agreement(heads.predict(z1), z0, weights_BN))


def train_heads(
    views_2BNC: F32,
    heads: Heads,
    *,
    weights_BN: npt.NDArray[np.floating | np.bool_],
    lr: float = 0.06,
    epochs: int = 10,
    orders: tuple[I64, I64] | None = None,
    batch: int | None = None,
) -> Training:
    """Gradient descent on the heads of all images at once, each on its own loss.

    Args:
        views_2BNC: two views, float32 (2, image, token, channel).
        heads: where to start; left as they are.
        weights_BN: how much a token counts, 0 for none.
        lr, epochs: of plain gradient descent.
        orders: order in which the tokens of either view are drawn, int64 (image, epoch, token); None: as they are.
        batch: tokens a step, a smaller rest left out; None: all.
    """
    device = heads.projector_bias.device
    first, second = (torch.from_numpy(np.ascontiguousarray(view)).to(device) for view in views_2BNC)
    weights = torch.from_numpy(np.asarray(weights_BN, np.float32)).to(device)
    count = first.shape[1]
    size = min(batch or count, count)
    here = torch.arange(len(first), device=device)[:, None]
    losses = []
    with torch.enable_grad():
        for epoch in range(epochs):
            for start in range(0, count - size + 1, size):
                taken = torch.arange(start, start + size, device=device).expand(len(first), -1)
                picks = [taken, taken]
                if orders is not None:
                    drawn = [order[:, epoch, start : start + size] for order in orders]
                    picks = [torch.from_numpy(np.ascontiguousarray(part)).to(device) for part in drawn]
                leaves = [part.detach().requires_grad_() for part in heads.parameters]
                pair = (first[here, picks[0]], second[here, picks[1]])
                loss = siamese_loss(pair, Heads(*leaves), weights[here, picks[0]])
                slopes = torch.autograd.grad(loss.sum(), leaves)
                heads = Heads(*(leaf.detach() - lr * slope for leaf, slope in zip(leaves, slopes, strict=True)))
                losses.append(loss.detach())
    return Training(heads, torch.stack(losses, dim=1).cpu().numpy())


def collapsed(predicted_BNC: Tensor, weights_BN: npt.NDArray[np.floating | np.bool_]) -> npt.NDArray[np.bool_]:
    """Whether the tokens of an image all point the same way after training, though there are several: bool (B,)."""
    unit = functional.normalize(predicted_BNC, dim=2)
    counted = torch.from_numpy(np.asarray(weights_BN) > 0).to(unit.device)
    several = counted.sum(dim=1) > 1
    mean = (unit * counted[..., None]).sum(dim=1) / counted.sum(dim=1, keepdim=True).clamp(min=1)
    return ((1 - mean.norm(dim=1) < COLLAPSED) & several).cpu().numpy()
