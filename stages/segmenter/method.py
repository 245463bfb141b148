"""What a method is given to train on, and what it returns. B images, N tokens, C channels."""

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
    """The tokens of the fit split, read when they are asked for: there may be more than fit into memory."""

    counts: I64  # tokens of every image
    channels: int
    read: Callable[[I64], F32]  # images of as many tokens each -> (B, N, C)

    def of_equal_count(self, images: I64, *, pairs: int) -> list[I64]:
        """The images in parts of equal token counts, with at most so many pairs of tokens, or one image."""
        counts = self.counts[images]
        parts = []
        for count in np.unique(counts).tolist():
            group, size = images[counts == count], max(1, pairs // count**2)
            parts += [group[start : start + size] for start in range(0, len(group), size)]
        return parts


@dataclass(frozen=True)
class Training:
    """A trained segmenter and how it came about, epoch by epoch."""

    weights: F32  # of the network, flat
    loss: F64  # (epoch,), mean over images
    concepts: I64  # (epoch, K): images that use 1, 2, ... K concepts


@dataclass(frozen=True)
class SegmenterMethod(Method):
    """The entry of a trained segmenter.

    `call(tokens, *, seed, options, device, checkpoint, watch)` trains on the fit split and returns a `Training`. It
    saves its state in the checkpoint, and a resumed training ends with the same bytes.

    Attributes:
        load: (weights, *, channels, options, device) -> a function that takes the tokens of one image, float32 (N, C),
            and gives the label of each, int64 (N,), from 0. Some labels may not occur.
    """

    call: Callable[..., Training]
    load: Callable[..., Callable[[F32], I64]] = field(kw_only=True)
