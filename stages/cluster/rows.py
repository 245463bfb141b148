"""Rows in blocks: a clustering method reads the rows in no other way.

Letters: N rows, B rows of a block, C channels.
Each thread holds one block, however many rows there are. The rows are in an array, or in an unnamed file that is
memory-mapped block by block. The results do not depend on where the rows are stored or on the number of threads: the
blocks and their order are always the same.
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

BLOCK = 8192  # rows; sums are rounded block by block, so that another size would give other bytes


class Storage(Protocol):
    """A store of rows, float32 (N, C)."""

    def read(self, part: slice) -> F32:
        """The rows of a slice, (B, C). They must not be changed."""

    def take(self, indices: npt.NDArray[np.int64]) -> F32:
        """Single rows, (len(indices), C), in the order of the indices."""

    def write(self, part: slice, rows_BC: F32) -> None:
        """Write the rows of a slice. Threads may write different slices at the same time."""

    def like(self, count: int, channels: int) -> "Storage":
        """A new, empty store of the same kind."""


class InMemory(Storage):
    """Rows in an array."""

    def __init__(self, rows_NC: F32) -> None:
        self.rows = rows_NC

    def read(self, part: slice) -> F32:
        """A view of the array."""
        return self.rows[part]

    def take(self, indices: npt.NDArray[np.int64]) -> F32:
        """A copy of the rows."""
        return self.rows[indices]

    def write(self, part: slice, rows_BC: F32) -> None:
        """Write into the array."""
        self.rows[part] = rows_BC

    def like(self, count: int, channels: int) -> "InMemory":
        """A store with an uninitialised array."""
        return InMemory(np.empty((count, channels), np.float32))


class OnDisk(Storage):
    """Rows in an unnamed file in a folder.

    The system deletes the file when the process ends, also when it is killed.
    """

    def __init__(self, folder: Path, channels: int) -> None:
        self.folder, self.channels, self.width = folder, channels, 4 * channels
        self.file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115

    def __del__(self) -> None:
        if hasattr(self, "file"):
            self.file.close()

    def read(self, part: slice) -> F32:
        """A view of the mapped file. The mapping lasts as long as the view."""
        start = part.start * self.width
        skipped = start % mmap.ALLOCATIONGRANULARITY
        length = (part.stop - part.start) * self.width + skipped
        pages = mmap.mmap(self.file.fileno(), length, offset=start - skipped, prot=mmap.PROT_READ)
        return np.frombuffer(pages, np.float32, offset=skipped).reshape(-1, self.channels)

    def take(self, indices: npt.NDArray[np.int64]) -> F32:
        """A copy of the rows, with one read for each row."""
        rows = np.empty((len(indices), self.channels), np.float32)
        for row, i in zip(rows.view(np.uint8), indices.tolist(), strict=True):
            os.preadv(self.file.fileno(), [row.data], i * self.width)
        return rows

    def write(self, part: slice, rows_BC: F32) -> None:
        """Write into the file, which grows.

        Raises:
            OSError: the disk is full.
        """
        unwritten = np.ascontiguousarray(rows_BC, np.float32).reshape(-1).view(np.uint8).data
        offset = part.start * self.width
        while unwritten:
            written = os.pwrite(self.file.fileno(), unwritten, offset)
            unwritten, offset = unwritten[written:], offset + written

    def like(self, count: int, channels: int) -> "OnDisk":
        """A store with an empty file in the same folder."""
        return OnDisk(self.folder, channels)


class Rows:
    """Rows, float32 (count, channels), in blocks of BLOCK rows. The last block may be shorter."""

    def __init__(self, storage: Storage, count: int, channels: int, ordered_map: Any = builtins.map) -> None:
        """`ordered_map` has the signature of `map` and keeps the order. It may call its function in several threads."""
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
        """The results of `function(block, slice)` for every block, in order.

        Several threads may call `function` at the same time.
        """

        def call(part: slice) -> T:
            return function(self.storage.read(part), part)

        results: Iterator[T] = self.ordered_map(call, self.parts)
        return results

    def read(self, part: slice) -> F32:
        """The rows of a slice."""
        return self.storage.read(part)

    def take(self, indices: npt.NDArray[np.int64]) -> F32:
        """Single rows, (len(indices), C), in the order of the indices."""
        return self.storage.take(indices)

    def store(self, function: Callable[[F32], F32], channels: int) -> "Rows":
        """Apply a function to every block, and store the results in a new store of the same kind.

        The function maps (B, C) to (B, channels).
        """
        storage = self.storage.like(self.count, channels)
        for _ in self.map(lambda block, part: storage.write(part, function(block))):
            pass
        return Rows(storage, self.count, channels, self.ordered_map)


def in_blocks(rows: "Rows | F32", ordered_map: Any = builtins.map) -> Rows:
    """`Rows` of an array (N, C). `Rows` are returned unchanged."""
    if isinstance(rows, Rows):
        return rows
    return Rows(InMemory(np.ascontiguousarray(rows, np.float32)), len(rows), rows.shape[1], ordered_map)


def on_disk(pieces: Iterable[F32], channels: int, folder: Path, ordered_map: Any = builtins.map) -> Rows:
    """Write pieces of rows, float32 (any length, C), to an unnamed file in a folder, and return them as `Rows`."""
    storage, count = OnDisk(folder, channels), 0
    for piece in pieces:
        storage.write(slice(count, count + len(piece)), piece)
        count += len(piece)
    return Rows(storage, count, channels, ordered_map)


def first_distinct(pieces: Iterable[F32], limit: int) -> F32:
    """The first `limit` distinct rows in order of appearance, or all distinct rows where there are fewer.

    0 and -0 are equal.
    """
    distinct: dict[bytes, F32] = {}
    for piece in pieces:
        for row in piece + np.float32(0):  # turns -0 into 0
            distinct.setdefault(row.tobytes(), row)
            if len(distinct) == limit:
                return np.stack(list(distinct.values()))
    return np.stack(list(distinct.values()))
