"""Rows in blocks of four: the same from an array and from a file, by one thread and by several."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from usseg.pipeline.parallel import thread_map
from usseg.stages.cluster import rows as module
from usseg.stages.cluster.rows import Rows, first_distinct, in_blocks, on_disk

ARRAY = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)


@pytest.fixture(autouse=True)
def blocks_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 4)


@pytest.fixture(params=["memory", "disk", "disk, three threads"])
def rows(request, tmp_path: Path) -> Iterator[Rows]:
    with thread_map(3 if "threads" in request.param else 1) as ordered:
        if request.param == "memory":
            yield in_blocks(ARRAY)
        else:
            pieces = [ARRAY[:1], ARRAY[:0], ARRAY[1:9], ARRAY[9:]]
            yield on_disk(pieces, 3, tmp_path, ordered)


def test_blocks_and_single_rows(rows: Rows) -> None:
    assert [len(block) for block in rows] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate(list(rows)), ARRAY)
    np.testing.assert_array_equal(rows.read(slice(3, 8)), ARRAY[3:8])
    order = np.array([9, 0, 3, 3])
    np.testing.assert_array_equal(rows.take(order), ARRAY[order])
    assert len(rows) == 10
    assert rows.take(order[:0]).shape == (0, 3)


def test_blocks_are_mapped_in_order(rows: Rows) -> None:
    found = list(rows.map(lambda block, part: (part, block.sum())))
    assert [part for part, _ in found] == [slice(0, 4), slice(4, 8), slice(8, 10)]
    np.testing.assert_array_equal([value for _, value in found], [ARRAY[part].sum() for part, _ in found])


def test_stored_rows_leave_theirs_alone(rows: Rows) -> None:
    stored = rows.store(lambda block: 2 * block[:, :2], 2)
    np.testing.assert_array_equal(np.concatenate(list(stored)), 2 * ARRAY[:, :2])
    np.testing.assert_array_equal(np.concatenate(list(rows)), ARRAY)


def test_an_error_in_a_block_is_raised(rows: Rows) -> None:
    with pytest.raises(ZeroDivisionError):
        list(rows.map(lambda block, part: 1 // (part.start - 4)))


def test_the_file_has_no_name(tmp_path: Path) -> None:
    rows = on_disk([ARRAY], 3, tmp_path)
    assert not list(tmp_path.iterdir())
    assert len(rows.read(slice(0, 10))) == 10


def test_mapped_rows_cannot_be_written_to(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        on_disk([ARRAY], 3, tmp_path).read(slice(0, 4))[0] = 0


def test_first_distinct_rows() -> None:
    rows = np.array([[1, 0], [0.0, 1], [1, 0], [-0.0, 1], [2, 2]], np.float32)
    np.testing.assert_array_equal(first_distinct([rows[:3], rows[3:]], 9), rows[[0, 1, 4]])
    np.testing.assert_array_equal(first_distinct(iter([rows[:3], rows[3:]]), 2), rows[:2])
