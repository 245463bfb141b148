"""What a method that trains a segmenter gets, and what it returns. Read this before you write one.

Letters: B images, N tokens, C channels, K concepts, h x w the token grid, H x W pixels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from usseg.pipeline.methods import Method

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
Watch = Callable[[I64, Mapping[str, F64]], None]


def no_watch(concepts: I64, columns: Mapping[str, F64]) -> None:
    """Ignore the history."""


@dataclass(frozen=True)
class FitImages:
    """The pixels of the fit split, and the backbone that described them.

    Attributes:
        patch: side of a token, pixels.
        grids: int64 (image, 2), rows and columns of tokens.
        read: image number -> what the grid covers, uint8 RGB (h patch, w patch, 3). It decodes the file. It may be
            called in a thread.
        describe: B images of one size, uint8 RGB (H, W, 3), whole patches -> tokens, float32 (B, N, C).
        in_step: the backbone computes on the device of the training: call `describe` in a step, not in the feed.
    """

    patch: int
    grids: I64
    read: Callable[[int], U8]
    describe: Callable[[Sequence[U8]], F32]
    in_step: bool = False


@dataclass(frozen=True)
class FitTokens:
    """The tokens of the fit split. They are read on demand, because they may not fit into memory.

    Attributes:
        counts: int64 (image,), the number of tokens of every image.
        channels: C.
        read: image numbers, int64 (B,), of images with the same number of tokens -> their tokens, float32 (B, N, C).
        images: the images; None for a method without `pixels`.
    """

    counts: I64
    channels: int
    read: Callable[[I64], F32]
    images: FitImages | None = None

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
    columns: Mapping[str, F64] = field(default_factory=dict)  # name -> (epoch,), further columns of the loss curve


@dataclass(frozen=True)
class SegmenterMethod(Method):
    """The entry of a trained segmenter.

    `call(tokens, *, seed, options, device, checkpoint, progress, watch)` trains on the fit split and returns a
    `Training`. It saves its state in the checkpoint. A resumed training ends with the same bytes. After each epoch it
    calls `watch(concepts, columns)` with the history so far, as in `Training`.

    Attributes:
        load: (weights, *, channels, patch, options, device) -> a function that takes the tokens of one image, float32
            (N, C), and returns the label of each token, int64 (N,), from 0. Some labels may not occur.
        fine: (weights, *, channels, patch, options, device) -> a function that takes the tokens of one image, float32
            (h, w, C), and what the grid covers, uint8 RGB (h patch, w patch, 3), and returns foreground probabilities,
            float32 (row, column), on a finer grid. None: the method has no fine branch.
        pixels: the method reads images. Otherwise `FitTokens.images` is None, and `patch` is 0.
    """

    call: Callable[..., Training]
    load: Callable[..., Callable[[F32], I64]] = field(kw_only=True)
    fine: Callable[..., Callable[[F32, U8], F32]] | None = field(default=None, kw_only=True)
    pixels: bool = field(default=False, kw_only=True)
