"""Feed of a training: it reads items in advance, or keeps all of them on the GPU.

Letters: B items of a part.
"""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
Read = Callable[[I64, int], Any]  # items (B,), epoch -> an array (B, ...), or a tuple of such arrays


def one_part(items: I64) -> list[I64]:
    """Leave a batch in one part."""
    return [items]


class Feed:
    """The items that a method trains on: rows, token grids or images.

    Args:
        read: returns the arrays (B, ...) of some items, in the order of the items. It is called in a thread. The arrays
            may depend only on the items and the epoch (from 0): a random crop draws from the seed, the epoch and the
            item.
        items: number of items.
        device: the device of the tensors.
        split: cuts the items of a batch into parts that are read and trained on one after the other. The items of a
            part must have equal shapes and fit in memory.
        threads: number of threads that read; each holds one finished part. One is enough for arrays; more are faster
            where images are decoded.
        counts: int64 (item,), the length of the second axis of each item's arrays (B, count, ...). All other axes are
            equal for all items. With `counts`, all items are kept on the GPU if half of its free memory is enough.
            `read` must then return the same arrays in every epoch.
        row_bytes: bytes of one step along the second axis, summed over the arrays; needed with `counts`.

    Raises:
        ValueError: no items.
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
        """Yield the tensors of each part in order, on the device. The next parts are read while one is used."""
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
        """Yield the result of `read` for each part in order. At most `threads` finished parts wait."""
        waiting: deque[Future[Any]] = deque()
        with ThreadPoolExecutor(self.threads) as pool:
            for part in parts:
                waiting.append(pool.submit(self.read, part, epoch))
                if len(waiting) > self.threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()


class Kept:
    """Items that are kept on a GPU.

    Each array is one tensor (row, ...) with the rows of all items one after the other.
    """

    def __init__(self, counts: I64, device: str) -> None:
        self.counts, self.device = counts, device
        self.starts = np.cumsum(counts) - counts
        self.known = np.zeros(len(counts), bool)
        self.held: list[Any] = []  # a tensor (row, ...) for each array
        self.tuple = False

    def missing(self, items: I64) -> I64:
        """The items that are not kept yet."""
        return items[~self.known[items]]

    def rows(self, items: I64) -> Any:
        """Row numbers of items of equal count, int64 tensor (B, count)."""
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
        """The tensors (B, count, ...) of kept items of equal count."""
        rows = self.rows(items)
        tensors = tuple(held[rows] for held in self.held)
        return tensors if self.tuple else tensors[0]


def on_device(arrays: Any, device: str) -> Any:
    """Copy an array, or each array of a tuple, to the device."""
    import torch

    if isinstance(arrays, tuple):
        return tuple(torch.from_numpy(array).to(device) for array in arrays)
    return torch.from_numpy(arrays).to(device)


def fits_on_gpu(size: int, device: str) -> bool:
    """Whether the device is a GPU and `size` bytes fit in half of its free memory."""
    import torch

    return torch.device(device).type == "cuda" and 2 * size < torch.cuda.mem_get_info(device)[0]
