"""Where the rows of every image lie in the arrays of a stage that works image by image.

Rows that are images are dense: padded to the largest image of the split. Pixels are ragged: those of all images lie one after another.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usseg.pipeline.arrays import BLOCK, SHARD_PIXELS
from usseg.pipeline.artifact import ArraySpec

I64 = npt.NDArray[np.int64]
PART = 128 << 20  # bytes of rows that a stage is asked for at a time


@dataclass(frozen=True)
class Layout:
    """Images and the lengths of their axes."""

    images: range
    lengths: Mapping[str, I64]  # axis -> length for each of the images
    starts: I64  # where the pixels of each image begin

    def shape(self, spec: ArraySpec) -> tuple[int, ...]:
        """The shape of an array of these images: dense axes as long as the largest image needs them."""
        if spec.ragged:
            return (int(self.lengths[spec.axes[0]].sum()),)
        return (len(self.images), *(int(self.lengths[axis].max(initial=0)) for axis in spec.axes[1:]))

    def stored_shape(self, spec: ArraySpec) -> tuple[int, ...]:
        """As `shape`, with the gaps between the blocks of ragged pixels."""
        return (self.place(spec)[0].stop,) if spec.ragged else self.shape(spec)

    def place(self, spec: ArraySpec) -> tuple[slice, ...]:
        """Where the array of these images belongs in the stored one."""
        if not spec.ragged:
            return (slice(self.images.start, self.images.stop), *(slice(length) for length in self.shape(spec)[1:]))
        lengths = self.lengths[spec.axes[0]]
        stop = int(self.starts[-1] + lengths[-1]) if lengths.any() else 0
        return (slice(int(self.starts[0]) if stop else 0, stop),)

    def shards(self, spec: ArraySpec) -> range:
        """The numbers along the first axis of the shards that hold these images, whole blocks."""
        first, length = self.place(spec)[0], SHARD_PIXELS if spec.ragged else BLOCK
        return range(first.start // length, -(-first.stop // length))

    def of(self, images: range) -> "Layout":
        """The layout of some of the images."""
        some = slice(images.start - self.images.start, images.stop - self.images.start)
        return Layout(images, {axis: length[some] for axis, length in self.lengths.items()}, self.starts[some])

    def blocks(self) -> list["Layout"]:
        """Blocks of images: a worker owns whole ones, which are the shards of dense arrays."""
        first, last = self.images.start, self.images.stop
        return [self.of(range(start, min(start + BLOCK, last))) for start in range(first, last, BLOCK)]

    def parts(self, specs: Mapping[str, ArraySpec], dtypes: Mapping[str, str]) -> list["Layout"]:
        """Consecutive images whose arrays hold PART bytes at most, or a single image."""
        widths = sum(np.dtype(dtypes[name]).itemsize * self.widths(spec) for name, spec in specs.items())
        cuts, largest = [0], 0
        for row, width in enumerate(np.broadcast_to(widths, len(self.images)).tolist()):
            largest = max(largest, width)
            if row > cuts[-1] and largest * (row + 1 - cuts[-1]) > PART:
                cuts.append(row)
                largest = width
        first = self.images.start
        return [
            self.of(range(first + start, first + stop))
            for start, stop in zip(cuts, [*cuts[1:], len(self.images)], strict=True)
        ]

    def widths(self, spec: ArraySpec) -> I64:
        """How many values each image has in an array, without padding."""
        axes = spec.axes if spec.ragged else spec.axes[1:]
        return np.prod([self.lengths[axis] for axis in axes], axis=0, dtype=np.int64)


def layout_of(count: int, sizes: Mapping[str, int | I64]) -> Layout:
    """The layout of a split with `count` images.

    Args:
        count: images.
        sizes: axis -> its length, or int64 (image,), the length for each image.
    """
    lengths = {axis: np.broadcast_to(np.asarray(size, np.int64), (count,)) for axis, size in sizes.items()}
    return Layout(range(count), lengths, pixel_starts(lengths.get("pixel", np.zeros(count, np.int64))))


def pixel_starts(counts: I64) -> I64:
    """Where the pixels of each image begin, int64 (image,), from their numbers.

    The images of a block follow each other without a gap; a block begins at a multiple of SHARD_PIXELS, so that no two blocks share a file.
    """
    starts = np.zeros(len(counts), np.int64)
    free = 0
    for first in range(0, len(counts), BLOCK):
        ends = free + np.cumsum(counts[first : first + BLOCK])
        starts[first : first + BLOCK] = ends - counts[first : first + BLOCK]
        free = -(-int(ends[-1]) // SHARD_PIXELS) * SHARD_PIXELS
    return starts
