"""Tokens of unit length, so that an inner product of two tokens is their cosine. N tokens, C channels."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Float = TypeVar("Float", bound=np.floating)


def unit_tokens(features_NC: npt.NDArray[Float]) -> npt.NDArray[Float]:
    """Divide each token by its Euclidean length. A zero token stays zero.

    Args:
        features_NC: float32 or float64 (token, channel).

    Returns:
        (token, channel) of the same dtype.
    """
    return features_NC / np.maximum(np.linalg.norm(features_NC, axis=1, keepdims=True), 1e-12)
