"""Feeds: items are read in advance, or kept on the device."""

import time
from typing import Any

import numpy as np
import pytest
import torch

from usseg.pipeline import feed as module
from usseg.pipeline.feed import Feed

COUNTS = np.array([2, 3, 2, 2, 3])
TOKENS = [np.random.default_rng(i).normal(size=(count, 4)).astype(np.float32) for i, count in enumerate(COUNTS)]
PARTS = [np.array([2, 0]), np.array([4]), np.array([3]), np.array([1])]


def spied(asked: list[tuple[list[int], int]], *, labels: bool = False, **settings: Any) -> Feed:
    """A reader of tokens, and of labels if given, that records its calls."""

    def read(items: np.ndarray, epoch: int) -> Any:
        asked.append((items.tolist(), epoch))
        values = np.stack([TOKENS[item] for item in items])
        return (values, (10 * values[..., 0]).astype(np.int64)) if labels else values

    return Feed(read, items=len(COUNTS), **settings)


@pytest.mark.parametrize("threads", [1, 3, 9])
def test_parts_come_in_order_whoever_reads_them(threads: int) -> None:
    asked: list[tuple[list[int], int]] = []
    found = list(spied(asked, threads=threads).tensors(PARTS, 7))
    assert sorted(asked) == sorted((part.tolist(), 7) for part in PARTS)
    for part, tensor in zip(PARTS, found, strict=True):
        np.testing.assert_array_equal(tensor.numpy(), np.stack([TOKENS[item] for item in part]))
    assert list(spied(asked).tensors([], 0)) == []


@pytest.mark.parametrize("threads", [1, 2])
def test_few_parts_are_in_memory_and_the_next_is_read_meanwhile(threads: int) -> None:
    asked: list[tuple[list[int], int]] = []
    tensors = spied(asked, threads=threads).tensors([np.array([0])] * 9, 0)
    for used in range(1, 5):
        next(tensors)
        deadline = time.monotonic() + 10
        while len(asked) < used + threads and time.monotonic() < deadline:
            time.sleep(0.001)
        assert len(asked) == used + threads
    tensors.close()


@pytest.mark.parametrize("labels", [False, True])
def test_what_stays_on_the_device_is_read_once(labels: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[list[int], int]] = []
    sizes: list[int] = []
    monkeypatch.setattr(module, "fits_on_gpu", lambda size, device: sizes.append(size) or True)
    kept = spied(asked, labels=labels, counts=COUNTS, row_bytes=16)
    other = spied([], labels=labels)
    for epoch, parts in enumerate([PARTS[:2], PARTS, PARTS[::-1], [np.array([0, 3, 2])]]):
        for found, expected in zip(kept.tensors(parts, epoch), other.tensors(parts, 0), strict=True):
            assert isinstance(found, tuple) == labels
            for one, right in zip(found, expected, strict=True) if labels else [(found, expected)]:
                assert one.dtype == right.dtype
                assert torch.equal(one, right)
                assert one.is_contiguous()
    assert asked == [([2, 0], 0), ([4], 0), ([3], 1), ([1], 1)]
    assert sizes == [12 * 16]


def test_items_without_counts_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "fits_on_gpu", lambda size, device: pytest.fail("they may change from epoch to epoch"))
    asked: list[tuple[list[int], int]] = []
    feed = spied(asked)
    for epoch in range(2):
        list(feed.tensors(PARTS, epoch))
    assert len(asked) == 2 * len(PARTS)


def test_nothing_is_kept_on_a_cpu() -> None:
    assert not module.fits_on_gpu(0, "cpu")


@pytest.mark.parametrize(("size", "fits"), [(499, True), (500, False)])
def test_half_of_the_free_memory_of_a_gpu_is_used(size: int, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 5000))
    assert module.fits_on_gpu(size, "cuda:0") == fits


def test_a_reader_that_fails_is_heard() -> None:
    def read(items: np.ndarray, epoch: int) -> np.ndarray:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(Feed(read, items=1).tensors([np.array([0])], 0))


def test_no_items_are_refused() -> None:
    with pytest.raises(ValueError, match=r"at least one item, found 0"):
        Feed(lambda items, epoch: items, items=0)
