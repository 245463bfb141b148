"""How the items of a fit split get to the device that trains on them: kept there, or read ahead. B items of a part."""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
Read = Callable[[I64, int], Any]  # items, epoch -> an array (B, ...), or a tuple of such arrays


def one_part(items: I64) -> list[I64]:
    """A batch that is read as a whole."""
    return [items]


class Feed:
    """The items that a method trains on: rows, token grids or images.

    Args:
        read: gives the arrays of some items, (B, ...) each, in the order of the items; a thread calls it. The arrays may depend
            on the epoch, from 0, but on nothing else: a random crop draws from the seed, the epoch and the item.
        items: how many there are.
        device: where the tensors are needed.
        split: cuts the items of a batch into parts that are read, and trained on, one after the other: few enough for the memory
            and of equal shape.
        threads: how many threads read; each holds one part that waits. One for arrays; more pay off where images are decoded.
        counts: int64 (item,), lengths of the second axis (B, count, ...) of the arrays; all other axes are alike for all items.
            With `counts` the items are kept on a GPU where half of its free memory holds them all: `read` must then give
            the same arrays in every epoch.
        row_bytes: bytes of one step along the second axis, over all arrays; needed with `counts`.
    """

    def __init__(
        self,
        read: Read,
        *,
        items: int,
        device: str = "cpu",
        split: Callable[[I64], Sequence[I64]] = one_part,
        threads: int = 1,
        counts: I64 | None = None,
        row_bytes: int = 0,
    ) -> None:
        if items < 1:
            raise ValueError(f"a training needs at least one item, found {items}")
        self.read, self.items, self.device, self.split, self.threads = read, items, device, split, threads
        keep = counts is not None and fits_on_gpu(int(counts.sum()) * row_bytes, device)
        self.kept = Kept(counts, device) if keep and counts is not None else None

    def tensors(self, parts: Sequence[I64], epoch: int) -> Generator[Any]:
        """A tensor on the device, or a tuple of them, for each part in order; the next parts are read while one is used."""
        if self.kept is None:
            yield from (on_device(arrays, self.device) for arrays in self.read_ahead(parts, epoch))
            return
        missing = [self.kept.missing(part) for part in parts]
        arrays = self.read_ahead([part for part in missing if len(part)], epoch)
        for part, absent in zip(parts, missing, strict=True):
            if len(absent):
                self.kept.put(absent, next(arrays))
            yield self.kept.get(part)

    def read_ahead(self, parts: Sequence[I64], epoch: int) -> Generator[Any]:
        """What `read` gives for each part, in order; as many parts wait as there are threads."""
        waiting: deque[Future[Any]] = deque()
        with ThreadPoolExecutor(self.threads) as pool:
            for part in parts:
                waiting.append(pool.submit(self.read, part, epoch))
                if len(waiting) > self.threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()


class Kept:
    """Items on a GPU, those of each array end to end in one tensor."""

    def __init__(self, counts: I64, device: str) -> None:
        self.counts, self.device = counts, device
        self.starts = np.cumsum(counts) - counts
        self.known = np.zeros(len(counts), bool)
        self.held: list[Any] = []  # a tensor (row, ...) for each array
        self.tuple = False

    def missing(self, items: I64) -> I64:
        """Those that have not been put."""
        return items[~self.known[items]]

    def rows(self, items: I64) -> Any:
        """Where items of equal count lie, a tensor (B, count)."""
        import torch

        rows = self.starts[items][:, None] + np.arange(self.counts[items[0]])
        return torch.from_numpy(rows).to(self.device)

    def put(self, items: I64, arrays: Any) -> None:
        """Keep the arrays (B, count, ...) of items of equal count."""
        import torch

        self.tuple = isinstance(arrays, tuple)
        values = [torch.from_numpy(array) for array in (arrays if self.tuple else (arrays,))]
        if not self.held:
            total = int(self.counts.sum())
            self.held = [torch.empty((total, *v.shape[2:]), dtype=v.dtype, device=self.device) for v in values]
        rows = self.rows(items)
        for held, value in zip(self.held, values, strict=True):
            held[rows] = value.to(self.device)
        self.known[items] = True

    def get(self, items: I64) -> Any:
        """The tensors (B, count, ...) of items of equal count."""
        rows = self.rows(items)
        found = tuple(held[rows] for held in self.held)
        return found if self.tuple else found[0]


def on_device(arrays: Any, device: str) -> Any:
    """An array as a tensor on the device, a tuple of arrays as a tuple of tensors."""
    import torch

    if isinstance(arrays, tuple):
        return tuple(torch.from_numpy(array).to(device) for array in arrays)
    return torch.from_numpy(arrays).to(device)


def fits_on_gpu(size: int, device: str) -> bool:
    """Whether the device is a GPU and half of its free memory holds so many bytes."""
    import torch

    return torch.device(device).type == "cuda" and 2 * size < torch.cuda.mem_get_info(device)[0]
