"""Layout: the position of each image in the arrays of a stage that works image by image.

Dense arrays have one row per image, padded to the largest image of the split. Ragged arrays have the pixels of all
images one after the other.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usseg.pipeline.arrays import BLOCK, SHARD_PIXELS
from usseg.pipeline.artifact import ArraySpec

I64 = npt.NDArray[np.int64]
PART = 128 << 20  # most bytes of arrays in one call of `Stage.run`


@dataclass(frozen=True)
class Layout:
    """A range of images and the lengths of their axes."""

    images: range
    lengths: Mapping[str, I64]  # axis -> (image,), its length for each image
    starts: I64  # (image,), first pixel of each image in a ragged array

    def shape(self, spec: ArraySpec) -> tuple[int, ...]:
        """Shape of an array of these images. A dense axis has the length of the largest image."""
        if spec.ragged:
            return (int(self.lengths[spec.axes[0]].sum()),)
        return (len(self.images), *(int(self.lengths[axis].max(initial=0)) for axis in spec.axes[1:]))

    def stored_shape(self, spec: ArraySpec) -> tuple[int, ...]:
        """Shape of the stored array: as `shape`, with the gaps between the blocks of a ragged array."""
        return (self.place(spec)[0].stop,) if spec.ragged else self.shape(spec)

    def place(self, spec: ArraySpec) -> tuple[slice, ...]:
        """Position of these images in the stored array."""
        if not spec.ragged:
            return (slice(self.images.start, self.images.stop), *(slice(length) for length in self.shape(spec)[1:]))
        lengths = self.lengths[spec.axes[0]]
        stop = int(self.starts[-1] + lengths[-1]) if lengths.any() else 0
        return (slice(int(self.starts[0]) if stop else 0, stop),)

    def shards(self, spec: ArraySpec) -> range:
        """Numbers, along the first axis, of the shards that hold these images. The images must be whole blocks."""
        first, length = self.place(spec)[0], SHARD_PIXELS if spec.ragged else BLOCK
        return range(first.start // length, math.ceil(first.stop / length))

    def of(self, images: range) -> "Layout":
        """Layout of some of the images."""
        rows = slice(images.start - self.images.start, images.stop - self.images.start)
        return Layout(images, {axis: length[rows] for axis, length in self.lengths.items()}, self.starts[rows])

    def blocks(self) -> list["Layout"]:
        """Layouts of the blocks of images. A worker computes whole blocks. A block is a shard of a dense array."""
        first, last = self.images.start, self.images.stop
        return [self.of(range(start, min(start + BLOCK, last))) for start in range(first, last, BLOCK)]

    def parts(self, specs: Mapping[str, ArraySpec], dtypes: Mapping[str, str]) -> list["Layout"]:
        """Layouts of consecutive images whose arrays have at most PART bytes together, or of a single larger image."""
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
        """Number of values of each image in an array, without padding, int64 (image,)."""
        axes = spec.axes if spec.ragged else spec.axes[1:]
        return np.prod([self.lengths[axis] for axis in axes], axis=0, dtype=np.int64)


def layout_of(count: int, sizes: Mapping[str, int | I64]) -> Layout:
    """The layout of a split with `count` images.

    Args:
        count: number of images.
        sizes: axis -> its length, or the lengths for all images, int64 (image,).
    """
    lengths = {axis: np.broadcast_to(np.asarray(size, np.int64), (count,)) for axis, size in sizes.items()}
    return Layout(range(count), lengths, pixel_starts(lengths.get("pixel", np.zeros(count, np.int64))))


def pixel_starts(counts: I64) -> I64:
    """First pixel of each image in a ragged array, int64 (image,), from the pixel counts of the images.

    The images of a block follow each other without a gap. A block begins at a multiple of SHARD_PIXELS: two blocks
    never share a file.
    """
    starts = np.zeros(len(counts), np.int64)
    free = 0
    for first in range(0, len(counts), BLOCK):
        ends = free + np.cumsum(counts[first : first + BLOCK])
        starts[first : first + BLOCK] = ends - counts[first : first + BLOCK]
        free = math.ceil(int(ends[-1]) / SHARD_PIXELS) * SHARD_PIXELS
    return starts
