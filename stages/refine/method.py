"""What a refinement method gets, and what it returns: read this before you write one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.methods import Method
from usseg.stages.refine.upsampling import upsample_labels, upsample_shares


@dataclass(frozen=True)
class CoarseMap:
    """One image: H x W pixels, labels on a grid of tokens.

    `extent` is the pixels that the grid covers, from `offset` on; None: it is stretched over the image.
    """

    labels: npt.NDArray[np.int16]  # (row, column) of the grid
    size: tuple[int, int]  # H, W
    extent: tuple[int, int] | None
    image: npt.NDArray[np.uint8] | None  # RGB (H, W, 3); None for a method that reads no pixels
    offset: tuple[int, int] = (0, 0)

    @property
    def upsampled(self) -> npt.NDArray[np.int16]:
        """The label of every pixel's token, int16 (H, W)."""
        return upsample_labels(self.labels, self.size, extent=self.extent, offset=self.offset)

    def share(self, label: int) -> npt.NDArray[np.float32]:
        """How near each pixel is to tokens of a label, interpolated between their centres: float32 (H, W) in [0, 1]."""
        return upsample_shares(self.labels == label, self.size, extent=self.extent, offset=self.offset)

    @property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """The image of a method that reads pixels."""
        assert self.image is not None
        return self.image


Refined = tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]


@dataclass(frozen=True)
class RefineMethod(Method):
    """The entry of a refinement method.

    `call(coarse, options)` returns two arrays of the image's size, (H, W): int16 labels, each of which occurs in the coarse map,
    and uint8 foreground, 255 times the probability that a pixel is not label 0, rounded up. Where no label can be decided the
    label of the pixel's token is right.

    Attributes:
        pixels: the method reads the image. Otherwise the image is not decoded, and `coarse.image` is None.
    """

    call: Callable[[CoarseMap, Any], Refined]
    pixels: bool = True
