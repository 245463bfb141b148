"""Segment features pooled from patch features."""

import numpy as np
import numpy.typing as npt


def pool_segments(
    features_NC: npt.NDArray[np.floating], segments_N: npt.NDArray[np.integer], *, count: int, spread: bool = False
) -> npt.NDArray[np.float32]:
    """Mean patch feature of segments 1 to `count`; with `spread` followed by the standard deviation.

    Args:
        features_NC: floats (token, channel).
        segments_N: segment of each token; ids below 1 are left out.
        count: number of segments.
        spread: append the standard deviation.

    Returns:
        float32 (segment, C), or (segment, 2 C) with `spread`. A segment without tokens is 0.
    """
    features = np.asarray(features_NC, np.float64)
    onehot = (segments_N[None, :] == np.arange(1, count + 1)[:, None]).astype(np.float64)
    areas = np.maximum(onehot.sum(axis=1, keepdims=True), 1)
    mean = onehot @ features / areas
    if not spread:
        return mean.astype(np.float32)
    variance = np.maximum(onehot @ features**2 / areas - mean**2, 0)
    return np.hstack([mean, np.sqrt(variance)]).astype(np.float32)
