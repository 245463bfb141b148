"""What every clustering method returns, and the rows it is given. N segments, C channels, K clusters."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Clustering:
    """A fitted clustering."""

    centers: F32  # (K, C)
    history: F64  # objective a step
    weights: F32 = field(default_factory=lambda: np.zeros(0, np.float32))  # of a network, flat


@dataclass(frozen=True)
class Scaling:
    """Features -> rows for a method: unit length, optionally standardised and weighted by channel, optionally projected."""

    mean: F32  # (C,)
    scale: F32  # (C,)
    components: F32  # (P, C); no rows: no projection

    def __call__(self, features_NC: F32) -> F32:
        """Scale rows, float32 (N, C or P)."""
        rows = (unit_rows(features_NC) - self.mean) * self.scale
        return np.asarray(rows @ self.components.T if len(self.components) else rows, np.float32)


def unit_rows(rows_NC: F32) -> F32:
    """Unit length; zero rows stay zero."""
    norms = np.linalg.norm(rows_NC, axis=1, keepdims=True)
    return (rows_NC / np.maximum(norms, 1e-12)).astype(np.float32)


def fit_scaling(
    features_NC: F32, *, norm_std: bool, pca: int, whiten: bool, channel_weights: Sequence[float] = ()
) -> Scaling:
    """Fit what `Scaling` needs.

    Args:
        features_NC: float32 (N, C).
        norm_std: subtract the mean and divide by the unbiased standard deviation of each dimension.
        pca: project on this many principal directions; 0: none.
        whiten: give the projected dimensions unit variance.
        channel_weights: multiply the channels, once standardised; none: all alike.
    """
    rows = unit_rows(features_NC)
    channels = rows.shape[1]
    mean, scale = np.zeros(channels, np.float32), np.ones(channels, np.float32)
    if norm_std and len(rows) > 1:
        mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
        deviation = rows.std(axis=0, dtype=np.float64, ddof=1).astype(np.float32)
        scale /= np.where(deviation > 1e-6, deviation, np.float32(1))
    if channel_weights:
        scale = scale * np.asarray(channel_weights, np.float32)
    components = np.zeros((0, channels), np.float32)
    if pca:
        scaled = ((rows - mean) * scale).astype(np.float64)
        centred = scaled - scaled.mean(axis=0)
        values, vectors = np.linalg.eigh(centred.T @ centred / max(1, len(rows) - 1))
        top = np.argsort(-values, kind="stable")[: min(pca, channels)]
        directions = vectors[:, top].T
        directions *= np.sign(directions[np.arange(len(top)), np.abs(directions).argmax(axis=1)])[:, None]
        if whiten:
            directions /= np.sqrt(np.maximum(values[top], 1e-6 * max(values.max(), 1e-12)))[:, None]
        components = directions.astype(np.float32)
    return Scaling(mean, scale, components)
