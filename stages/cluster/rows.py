"""Rows in blocks: the only way in which a method reads the segments. N rows, B of them in a block, C channels.

However many rows there are, a method holds a block a thread; rows lie in an array, or in an unnamed file that is mapped block by block.
Neither the place nor the number of threads changes a bit of what is computed: blocks are always the same, and so is their order.
"""

import builtins
import mmap
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
T = TypeVar("T")

BLOCK = 8192  # rows; sums are rounded block by block, so another size gives other bits


class Storage(Protocol):
    """Where float32 rows (N, C) lie."""

    def read(self, part: slice) -> F32:
        """The rows of a slice, not to be written to."""

    def take(self, indices: npt.NDArray[np.int64]) -> F32:
        """Single rows in the order of the indices."""

    def write(self, part: slice, rows_BC: F32) -> None:
        """Write the rows of a slice; threads may write different slices at once."""

    def like(self, count: int, channels: int) -> "Storage":
        """A new one of the same kind."""


class InMemory(Storage):
    """Rows in an array."""

    def __init__(self, rows_NC: F32) -> None:
        self.rows = rows_NC

    def read(self, part: slice) -> F32:
        """A view."""
        return self.rows[part]

    def take(self, indices: npt.NDArray[np.int64]) -> F32:
        """A copy."""
        return self.rows[indices]

    def write(self, part: slice, rows_BC: F32) -> None:
        """Into the array."""
        self.rows[part] = rows_BC

    def like(self, count: int, channels: int) -> "InMemory":
        """An array that is not filled."""
        return InMemory(np.empty((count, channels), np.float32))


class OnDisk(Storage):
    """Rows in an unnamed file of a folder; it is gone with its last user, also when the process is killed."""

    def __init__(self, folder: Path, channels: int) -> None:
        self.folder, self.channels, self.width = folder, channels, 4 * channels
        self.file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115

    def __del__(self) -> None:
        if hasattr(self, "file"):
            self.file.close()

    def read(self, part: slice) -> F32:
        """A view of pages that are mapped as long as it lives."""
        start = part.start * self.width
        skipped = start % mmap.ALLOCATIONGRANULARITY
        length = (part.stop - part.start) * self.width + skipped
        pages = mmap.mmap(self.file.fileno(), length, offset=start - skipped, prot=mmap.PROT_READ)
        return np.frombuffer(pages, np.float32, offset=skipped).reshape(-1, self.channels)

    def take(self, indices: npt.NDArray[np.int64]) -> F32:
        """A copy, a read a row."""
        rows = np.empty((len(indices), self.channels), np.float32)
        for row, i in zip(rows.view(np.uint8), indices.tolist(), strict=True):
            os.preadv(self.file.fileno(), [row.data], i * self.width)
        return rows

    def write(self, part: slice, rows_BC: F32) -> None:
        """Into the file, which grows; OSError where the disk is full."""
        left = np.ascontiguousarray(rows_BC, np.float32).reshape(-1).view(np.uint8).data
        at = part.start * self.width
        while left:
            written = os.pwrite(self.file.fileno(), left, at)
            left, at = left[written:], at + written

    def like(self, count: int, channels: int) -> "OnDisk":
        """An empty file in the same folder."""
        return OnDisk(self.folder, channels)


class Rows:
    """`count` rows of `channels` numbers, float32, in blocks of BLOCK, the last one shorter."""

    def __init__(self, storage: Storage, count: int, channels: int, ordered_map: Any = builtins.map) -> None:
        """`ordered_map` is a `map`, of threads perhaps, that keeps the order."""
        self.storage, self.count, self.channels, self.ordered_map = storage, count, channels, ordered_map

    def __len__(self) -> int:
        return self.count

    @property
    def parts(self) -> list[slice]:
        """The slice of every block."""
        return [slice(start, min(start + BLOCK, self.count)) for start in range(0, self.count, BLOCK)]

    def __iter__(self) -> Iterator[F32]:
        return (self.storage.read(part) for part in self.parts)

    def map(self, function: Callable[[F32, slice], T]) -> Iterator[T]:
        """What `function` gives for every block and its slice, in order; threads may call it at once."""

        def call(part: slice) -> T:
            return function(self.storage.read(part), part)

        results: Iterator[T] = self.ordered_map(call, self.parts)
        return results

    def read(self, part: slice) -> F32:
        """The rows of a slice."""
        return self.storage.read(part)

    def take(self, indices: npt.NDArray[np.int64]) -> F32:
        """Single rows (len(indices), C)."""
        return self.storage.take(indices)

    def store(self, function: Callable[[F32], F32], channels: int) -> "Rows":
        """Every block through a function that keeps its number of rows, kept in a place of the same kind."""
        storage = self.storage.like(self.count, channels)
        for _ in self.map(lambda block, part: storage.write(part, function(block))):
            pass
        return Rows(storage, self.count, channels, self.ordered_map)


def in_blocks(rows: "Rows | F32", ordered_map: Any = builtins.map) -> Rows:
    """Rows as they are, or those of an array (N, C)."""
    if isinstance(rows, Rows):
        return rows
    return Rows(InMemory(np.ascontiguousarray(rows, np.float32)), len(rows), rows.shape[1], ordered_map)


def on_disk(pieces: Iterable[F32], channels: int, folder: Path, ordered_map: Any = builtins.map) -> Rows:
    """Rows of pieces of any length, written to a file in a folder as they come."""
    storage, count = OnDisk(folder, channels), 0
    for piece in pieces:
        storage.write(slice(count, count + len(piece)), piece)
        count += len(piece)
    return Rows(storage, count, channels, ordered_map)


def first_distinct(pieces: Iterable[F32], limit: int) -> F32:
    """The first `limit` distinct rows in order of appearance, or all where there are fewer."""
    found: dict[bytes, F32] = {}
    for piece in pieces:
        for row in piece + np.float32(0):  # one zero, not two
            found.setdefault(row.tobytes(), row)
            if len(found) == limit:
                return np.stack(list(found.values()))
    return np.stack(list(found.values()))
