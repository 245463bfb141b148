"""Projection heads for the tokens of an image, trained on that image alone (SimSAM).

Letters: B images, N tokens, C channels, S steps, h rows and w columns of tokens. The heads of B images are trained at
once. The heads of an image see that image only.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]
DEGREES = 15.0  # largest rotation of a view, in degrees
SHIFT = 0.1  # largest shift, as a share of the side
ZOOM = 0.1  # largest change of scale
COLLAPSED = 1e-4  # below this spread of their directions, all tokens count as one: the head has collapsed


@dataclass(frozen=True)
class Heads:
    """The projector z = elu(x W^T + b) and the predictor p = z W^T + b of every image.

    Weights are W (B, out, in), biases b (B, out), as in torch.nn.Linear.
    """

    projector_weight: Tensor
    projector_bias: Tensor
    predictor_weight: Tensor
    predictor_bias: Tensor

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """The four tensors, in the order of the fields."""
        return (self.projector_weight, self.projector_bias, self.predictor_weight, self.predictor_bias)

    def project(self, rows_BNC: Tensor) -> Tensor:
        """The projections z, (B, N, C), of tokens (B, N, C)."""
        return functional.elu(linear(rows_BNC, self.projector_weight, self.projector_bias))

    def predict(self, rows_BNC: Tensor) -> Tensor:
        """The predictions p, (B, N, C), of projections (B, N, C)."""
        return linear(rows_BNC, self.predictor_weight, self.predictor_bias)


@dataclass(frozen=True)
class Training:
    """Trained heads, and the loss of every image in every step: float32 (B, S) in [-1, 1]."""

    heads: Heads
    losses: F32


def linear(rows_BNC: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Apply to every image (B, N, in) its own linear layer: (B, N, out)."""
    return torch.baddbmm(bias[:, None], rows_BNC, weight.transpose(1, 2))


def random_heads(seeds: list[int], channels: int, *, device: str = "cpu") -> Heads:
    """Random heads of the images: all parameters are uniform in +-1 / sqrt(C), as torch's default.

    Args:
        seeds: seed of each image.
        channels: C.
        device: where the parameters are stored.
    """
    limit = 1 / np.sqrt(channels)
    drawn = []
    for part, shape in enumerate(((channels, channels), (channels,)) * 2):
        images = [np.random.default_rng([seed, part]).uniform(-limit, limit, shape) for seed in seeds]
        drawn.append(torch.from_numpy(np.stack(images).astype(np.float32)).to(device))
    return Heads(*drawn)


def token_views(features_NC: F32, grid: tuple[int, int], *, seed: int) -> tuple[F32, npt.NDArray[np.bool_]]:
    """The features of each token in two randomly rotated, shifted and scaled copies of the token map.

    Each copy is resampled bilinearly on the grid. It is then sampled bilinearly at the new position of each token. Row
    i of both views is therefore token i.

    Args:
        features_NC: float32 (token, channel), row-major on `grid`.
        grid: rows and columns of tokens.
        seed: seed of the image.

    Returns:
        The views, float32 (2, token, channel). Whether each token lies inside both copies, bool (token,), true for at
        least one token.
    """
    h, w = grid
    tokens = torch.from_numpy(np.ascontiguousarray(features_NC, np.float32)).T.reshape(1, -1, h, w)
    rng = np.random.default_rng([seed, 4])
    rows, columns = np.divmod(np.arange(h * w), w)
    positions = np.stack([columns + 0.5 - w / 2, rows + 0.5 - h / 2])
    inside = np.ones(h * w, np.bool_)
    views = []
    for _ in range(2):
        angle = np.radians(rng.uniform(-DEGREES, DEGREES))
        zoom = rng.uniform(1 - ZOOM, 1 + ZOOM)
        rotation = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shift = rng.uniform(-SHIFT, SHIFT, (2, 1)) * [[w], [h]]
        moved = rotation @ positions + shift
        copy = sampled(tokens, np.linalg.solve(rotation, positions - shift)).reshape(tokens.shape)
        views.append(sampled(copy, moved)[0].T)
        inside &= (np.abs(moved) <= [[w / 2], [h / 2]]).all(axis=0)
    if not inside.any():
        inside[np.abs(positions).sum(axis=0).argmin()] = True
    return torch.stack(views).numpy(), inside


def token_orders(seeds: list[int], tokens: int, *, epochs: int) -> tuple[I64, I64]:
    """A random order of the tokens for every image and epoch, int64 (image, epoch, token), for each view.

    Both views have the same order, so that a step sees the same tokens in both.
    """
    drawn = np.stack(
        [np.random.default_rng([seed, 5]).permuted(np.tile(np.arange(tokens), (epochs, 1)), axis=1) for seed in seeds]
    )
    return drawn, drawn


def sampled(tokens_1Chw: Tensor, positions_2N: npt.NDArray[np.floating]) -> Tensor:
    """Sample a token map (1, C, h, w) bilinearly: (1, C, N).

    Positions (2, N) are x and y from the centre of the map, in tokens. Outside the map its border values are repeated.
    """
    h, w = tokens_1Chw.shape[2:]
    points = torch.from_numpy((2 * positions_2N / [[w], [h]]).T.astype(np.float32))[None, None]
    return functional.grid_sample(tokens_1Chw, points, padding_mode="border", align_corners=False)[:, :, 0]


def agreement(predicted_BNC: Tensor, target_BNC: Tensor, weights_BN: Tensor) -> Tensor:
    """Minus the weighted mean cosine of predictions and targets, (B,). The targets get no gradient."""
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
    """Train the heads of all images at once by gradient descent, each image on its own loss.

    Args:
        views_2BNC: two views, float32 (2, image, token, channel).
        heads: the initial heads; they are not changed.
        weights_BN: weight of each token in the loss, (image, token), 0 for a token without a view.
        lr, epochs: learning rate and epochs of plain gradient descent.
        orders: order of the tokens of either view, int64 (image, epoch, token); None: row-major order.
        batch: tokens in each step; the incomplete last batch is left out. None: all tokens.
    """
    device = heads.projector_bias.device
    first, second = (torch.from_numpy(np.ascontiguousarray(view)).to(device) for view in views_2BNC)
    weights = torch.from_numpy(np.asarray(weights_BN, np.float32)).to(device)
    count = first.shape[1]
    size = min(batch or count, count)
    image_rows = torch.arange(len(first), device=device)[:, None]
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
                pair = (first[image_rows, picks[0]], second[image_rows, picks[1]])
                loss = siamese_loss(pair, Heads(*leaves), weights[image_rows, picks[0]])
                slopes = torch.autograd.grad(loss.sum(), leaves)
                heads = Heads(*(leaf.detach() - lr * slope for leaf, slope in zip(leaves, slopes, strict=True)))
                losses.append(loss.detach())
    return Training(heads, torch.stack(losses, dim=1).cpu().numpy())


def collapsed(predicted_BNC: Tensor, weights_BN: npt.NDArray[np.floating | np.bool_]) -> npt.NDArray[np.bool_]:
    """Whether all tokens of an image have one direction after training, bool (B,).

    False for an image with one weighted token.
    """
    unit = functional.normalize(predicted_BNC, dim=2)
    counted = torch.from_numpy(np.asarray(weights_BN) > 0).to(unit.device)
    several = counted.sum(dim=1) > 1
    mean = (unit * counted[..., None]).sum(dim=1) / counted.sum(dim=1, keepdim=True).clamp(min=1)
    return ((1 - mean.norm(dim=1) < COLLAPSED) & several).cpu().numpy()
