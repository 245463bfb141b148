"""What a method that trains a segmenter gets, and what it returns. Read this before you write one.

Letters: B images, N tokens, C channels, K concepts.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from usseg.pipeline.methods import Method

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FitTokens:
    """The tokens of the fit split. They are read on demand, because they may not fit into memory.

    Attributes:
        counts: int64 (image,), the number of tokens of every image.
        channels: C.
        read: image numbers, int64 (B,), of images with the same number of tokens -> their tokens, float32 (B, N, C).
    """

    counts: I64
    channels: int
    read: Callable[[I64], F32]

    def of_equal_count(self, images: I64, *, pairs: int) -> list[I64]:
        """Split image numbers into parts of equal token counts.

        A part has at most `pairs` pairs of tokens, or one image.
        """
        counts = self.counts[images]
        parts = []
        for count in np.unique(counts).tolist():
            group, size = images[counts == count], max(1, pairs // count**2)
            parts += [group[start : start + size] for start in range(0, len(group), size)]
        return parts


@dataclass(frozen=True)
class Training:
    """A trained segmenter and the history of its training."""

    weights: F32  # (weight,), the parameters of the network in one vector
    loss: F64  # (epoch,), the mean loss over images
    concepts: I64  # (epoch, K), the numbers of images that use 1, 2, ... K concepts


@dataclass(frozen=True)
class SegmenterMethod(Method):
    """The entry of a trained segmenter.

    `call(tokens, *, seed, options, device, checkpoint, watch)` trains on the fit split and returns a `Training`. It
    saves its state in the checkpoint. A resumed training ends with the same bytes.

    Attributes:
        load: (weights, *, channels, options, device) -> a function that takes the tokens of one image, float32 (N, C),
            and returns
            the label of each token, int64 (N,), from 0. Some labels may not occur.
    """

    call: Callable[..., Training]
    load: Callable[..., Callable[[F32], I64]] = field(kw_only=True)
