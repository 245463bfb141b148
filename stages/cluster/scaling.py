"""How features become the rows that a method clusters. N segments or tokens, C channels, P principal directions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scaling:
    """Turns features into the rows that a method clusters.

    Features are scaled to unit length, shifted by the mean, multiplied by a scale and, where there are components,
    projected. The mean is 0, the scale is 1 and there are no components where the params ask for none of these steps.
    """

    mean: F32  # (C,)
    scale: F32  # (C,)
    components: F32  # (P, C), the principal directions; no rows where there is no projection

    def __call__(self, features_NC: F32) -> F32:
        """Features, float32 (N, C), -> rows, float32 (N, C), or (N, P) after a projection."""
        rows = (unit_rows(features_NC) - self.mean) * self.scale
        return np.asarray(rows @ self.components.T if len(self.components) else rows, np.float32)

    @property
    def identity(self) -> bool:
        """Whether nothing but the scaling to unit length is done."""
        return not self.mean.any() and bool((self.scale == 1).all()) and not len(self.components)

    @property
    def channels(self) -> int:
        """Number of channels of the rows: P after a projection, else C."""
        return len(self.components) or len(self.mean)


def unit_rows(rows_NC: F32) -> F32:
    """Scale rows to unit length: float32 (N, C). A zero row stays zero."""
    norms = np.linalg.norm(rows_NC, axis=1, keepdims=True)
    return (rows_NC / np.maximum(norms, 1e-12)).astype(np.float32)


def moments(pieces: Iterable[F32], *, crossed: bool) -> tuple[int, F64, F64]:
    """The number, the mean (C,) and the scatter of all rows, scaled to unit length first.

    One pass over pieces (N, C), in float64. The scatter is the sum of (x - mean)^2 (C,), or the sum of (x - mean)(x -
    mean)^T (C, C) where `crossed`.

    Source: Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing sample variances (1979).
    """
    count, mean, scatter = 0, np.zeros(1), np.zeros(1)
    for piece in pieces:
        if not len(piece):
            continue
        rows = unit_rows(piece).astype(np.float64)
        center = rows.mean(axis=0)
        rows -= center
        shift, total = center - mean, count + len(rows)
        spread = rows.T @ rows if crossed else (rows * rows).sum(axis=0)
        between = np.outer(shift, shift) if crossed else shift * shift
        scatter = scatter + spread + between * (count * len(rows) / total)
        mean = mean + shift * (len(rows) / total)
        count = total
    return count, mean, scatter


def fit_scaling(
    pieces: Iterable[F32],
    channels: int,
    *,
    norm_std: bool,
    pca: int,
    whiten: bool,
    channel_weights: Sequence[float] = (),
) -> Scaling:
    """Fit a `Scaling` in at most one pass over the features.

    Args:
        pieces: float32 (N, C) each; together they are all features.
        channels: C.
        norm_std: subtract the mean and divide by the unbiased standard deviation of each channel.
        pca: subtract the mean and project on this many principal directions; 0: no projection.
        whiten: scale the projected channels to unit variance.
        channel_weights: factors of the channels, after the standardisation; empty: all 1.
    """
    mean, scale = np.zeros(channels, np.float32), np.ones(channels, np.float32)
    components = np.zeros((0, channels), np.float32)
    count, center, scatter = moments(pieces, crossed=pca > 0) if norm_std or pca else (0, np.zeros(1), np.zeros(1))
    covariance = scatter / max(1, count - 1)
    if count > 1:
        mean = center.astype(np.float32)
    if norm_std and count > 1:
        deviation = np.sqrt(np.diag(covariance) if pca else covariance).astype(np.float32)
        scale /= np.where(deviation > 1e-6, deviation, np.float32(1))
    if channel_weights:
        scale = scale * np.asarray(channel_weights, np.float32)
    if pca:
        values, vectors = np.linalg.eigh(covariance * np.outer(scale, scale.astype(np.float64)))
        top = np.argsort(-values, kind="stable")[: min(pca, channels)]
        directions = vectors[:, top].T
        directions *= np.sign(directions[np.arange(len(top)), np.abs(directions).argmax(axis=1)])[:, None]
        if whiten:
            directions /= np.sqrt(np.maximum(values[top], 1e-6 * max(values.max(), 1e-12)))[:, None]
        components = directions.astype(np.float32)
    return Scaling(mean, scale, components)
