"""What a backbone gets, and what it returns. Read this before you write one.

Letters: B images of one size, h rows and w columns of tokens, N = h x w, C channels, S segments.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.methods import Method

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[Any]
F32 = npt.NDArray[np.float32]


class Backbone(ABC):
    """A loaded backbone. The features of an image depend on that image and the options alone.

    A token is a square of `patch` x `patch` pixels. The images are resized already. Token (0, 0) begins at pixel (0,
    0). Pixels beyond the grid are ignored. With `features.fit: pad` the image may have fewer pixels than the grid: the
    backbone pads it.

    Attributes:
        patch: side of a token, pixels.
        channels: number of channels of a token.
        crop_channels: number of channels of a segment, as `embed_crops` and `embed_segments` give it.
    """

    patch: int
    channels: int
    crop_channels: int

    @abstractmethod
    def describe(self, images: Sequence[Pixels], grid: tuple[int, int], dtype: str) -> Mapping[str, Array]:
        """Describe every token of B images, and each image as a whole.

        Args:
            images: uint8 RGB (height, width, 3), all of one size. On the CPU there is always one image.
            grid: (h, w).
            dtype: the dtype in which the stage stores tokens, float32 or float16. The backbone may return it, which
                transfers fewer bytes from a GPU.

        Returns:
            `patches` (B, N, C) in row-major order, not normalised, and `cls` (B, C). All numbers are finite. With the
            option
            `attention: true` also `values` (B, N, C) and `class_state` (B, 2, C), which `embed_segments` gets.
        """

    @abstractmethod
    def embed_crops(
        self,
        image: Pixels,
        grid: tuple[int, int],
        boxes: npt.NDArray[np.int32],
        masks: Sequence[npt.NDArray[np.bool_]] | None,
    ) -> F32:
        """Embed S segments of an image from the pixels of their boxes.

        Args:
            image: RGB (height, width, 3).
            grid: (h, w).
            boxes: (S, 4) in tokens: xmin, ymin, xmax, ymax, half open, never empty. S may be 0.
            masks: bool (row, column), the tokens of each box that belong to the segment; None: all tokens.

        Returns:
            (S, crop_channels).
        """

    def embed_segments(self, stored: Mapping[str, F32], segments_N: npt.NDArray[np.int64], *, count: int) -> F32:
        """Embed segments from the arrays that `attention: true` stored for the whole image.

        Args:
            stored: `patches` and `values` (N, C), `class_state` (2, C).
            segments_N: segment of each token; segments 1 to `count` are embedded.
            count: S.

        Returns:
            (S, crop_channels).

        Raises:
            TypeError: the backbone has no option `attention`.
        """
        raise TypeError(
            f"{type(self).__name__} stores no attention; a backbone with the option `attention` has this method"
        )

    def network(self) -> Any:
        """The torch module that holds the trained weights; None: the backbone has none.

        `usseg save` records a digest of downloaded weights, so that `usseg apply` can refuse other ones.
        """
        return None


def no_files(options: Any) -> tuple[str, ...]:
    """No files: for a backbone that reads none."""
    return ()


def weights_file(options: Any) -> tuple[str, ...]:
    """The local file of the weights, where the options name one."""
    return (options.weights,) if options.weights else ()


@dataclass(frozen=True)
class BackboneMethod(Method):
    """The entry of a backbone.

    `call(options, project, device)` loads the backbone. Relative paths start at the folder `project`. `call` runs once
    in each process for each device, and once more on the CPU to read `patch` and the channels. `gpu` tells whether the
    backbone computes on a GPU. The options may have `attention: bool`; crops.method masked_image needs it.

    Attributes:
        files: from the options, the files that the backbone reads, relative to the project. Their content is part of
            the cache key.
    """

    call: Callable[[Any, Path, str], Backbone]
    files: Callable[[Any], Sequence[str]] = no_files
