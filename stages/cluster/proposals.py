"""The images of the fit split, as a method that trains on tokens and proposals reads them.

Letters: B images, N tokens of an image, C channels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usseg.pipeline.inputs import Inputs
from usseg.stages.cluster.scaling import F32, Scaling

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ImageProposals:
    """Tokens and proposals of the fit split by image. They are read on demand: they may not fit into memory.

    Attributes:
        counts: int64 (image,), the number of tokens of every image.
        channels: C.
        read: image numbers, int64 (B,), of images with the same number of tokens -> their tokens, float32 (B, N, C),
            and the proposal of each token, int64 (B, N), from 1; 0: none. The tokens are the features themselves where
            the params of the stage ask for no scaling, and rows like all others where they do.
    """

    counts: I64
    channels: int
    read: Callable[[I64], tuple[F32, I64]]

    def of_equal_count(self, images: I64) -> list[I64]:
        """Split image numbers into parts of equal token counts, each in ascending order."""
        images = np.sort(images)
        counts = self.counts[images]
        return [images[counts == count] for count in np.unique(counts)]


def image_proposals(inputs: Inputs, scaling: Scaling) -> ImageProposals:
    """The images of the fit split, from stages features and segments."""
    patches, segments = inputs["features"]["patches"], inputs["segments"]["segments"]
    counts = inputs["features"]["grid"][:].astype(np.int64).prod(axis=1)

    def read(images: I64) -> tuple[F32, I64]:
        count = int(counts[images[0]])
        tokens = patches.oindex[images, :count].astype(np.float32)
        if not scaling.identity:
            tokens = scaling(tokens.reshape(-1, tokens.shape[2])).reshape(len(images), count, -1)
        return tokens, segments.oindex[images, :count].astype(np.int64)

    return ImageProposals(counts, scaling.channels, read)
