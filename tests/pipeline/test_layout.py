"""Layout of rows and pixels: blocks own their files, the size of a part is bounded, chunks fit small images."""

from pathlib import Path

import numpy as np
import pytest
import zarr

from usseg.pipeline import layout
from usseg.pipeline.arrays import BLOCK, CHUNK, SHARD_PIXELS, chunks_of, create_arrays, write_rows
from usseg.pipeline.artifact import ArraySpec
from usseg.pipeline.layout import layout_of, pixel_starts

PATCHES = ArraySpec(("image", "token", "channel"), "float32", "")
MAPS = ArraySpec(("pixel",), "int16", "")
SIZE = ArraySpec(("image", "side"), "int32", "")


def test_no_two_blocks_share_a_shard_of_pixels() -> None:
    counts = np.random.default_rng(0).integers(1, 500_000, 3 * BLOCK + 5)
    starts = pixel_starts(counts)
    assert starts[0] == 0
    for first in range(0, len(counts), BLOCK):
        assert starts[first] % SHARD_PIXELS == 0
        inside = slice(first, first + BLOCK)
        np.testing.assert_array_equal(np.diff(starts[inside]), counts[inside][:-1])
        assert first == 0 or starts[first] >= starts[first - 1] + counts[first - 1]


def test_shapes_and_places() -> None:
    tokens, pixels = np.array([3, 7, 2, 5]), np.array([30, 70, 20, 50])
    whole = layout_of(4, {"token": tokens, "channel": 6, "pixel": pixels, "side": 2})
    assert whole.shape(PATCHES) == (4, 7, 6)
    assert whole.stored_shape(MAPS) == whole.shape(MAPS) == (170,)
    some = whole.of(range(2, 4))
    assert some.shape(PATCHES) == (2, 5, 6)
    assert some.place(PATCHES) == (slice(2, 4), slice(5), slice(6))
    assert some.place(SIZE) == (slice(2, 4), slice(2))
    assert (some.shape(MAPS), some.place(MAPS)) == ((70,), (slice(100, 170),))


def test_an_axis_without_pixels_takes_no_place() -> None:
    soft = ArraySpec(("soft_pixel",), "uint8", "")
    whole = layout_of(40, {"pixel": np.full(40, 9), "soft_pixel": 0})
    assert whole.stored_shape(soft) == whole.shape(soft) == (0,)
    assert whole.blocks()[1].place(soft) == (slice(0, 0),)


@pytest.mark.parametrize(
    ("widths", "expected"),
    [
        ([1] * 8, [8]),
        ([1, 1, 9, 1, 1], [2, 1, 2]),
        ([9, 9], [1, 1]),
        ([2, 2, 3, 1], [2, 2]),
        ([1, 3, 1, 1], [2, 2]),
    ],
)
def test_parts_are_bounded_with_their_padding(
    monkeypatch: pytest.MonkeyPatch, widths: list[int], expected: list[int]
) -> None:
    monkeypatch.setattr(layout, "PART", 8 * 24)  # of float32 (token, 6)
    whole = layout_of(len(widths), {"token": np.array(widths), "channel": 6})
    parts = whole.parts({"patches": PATCHES}, {"patches": "float32"})
    assert [len(part.images) for part in parts] == expected
    assert [i for part in parts for i in part.images] == list(range(len(widths)))


@pytest.mark.parametrize("tokens", [1, 100, 4800, 750_000])
def test_chunks_are_small_whatever_the_largest_image(tokens: int) -> None:
    chunks, shards = chunks_of(PATCHES, np.dtype("float32"), (100, tokens, 46))
    if shards is None:
        assert chunks == (BLOCK, tokens, 46)
        return
    assert np.prod(chunks) * 4 <= CHUNK
    assert chunks[0] == 1
    assert shards[0] == BLOCK
    assert all(shard % chunk == 0 for shard, chunk in zip(shards, chunks, strict=True))
    assert np.prod(shards) * 4 <= 8 * BLOCK * CHUNK


def test_padding_is_not_stored(tmp_path: Path) -> None:
    """A small and a large image (750,000 tokens):

    the small one has a small shard, and its padding is the fill value.
    """
    whole = layout_of(40, {"token": np.array([10] * 39 + [750_000]), "channel": 46})
    create_arrays(tmp_path, {"patches": PATCHES}, {"patches": "float32"}, {"patches": whole.stored_shape(PATCHES)})
    first = whole.blocks()[0]
    values = np.random.default_rng(0).random(first.shape(PATCHES), np.float32)
    assert values.shape == (32, 10, 46)
    write_rows(tmp_path, "patches", first.place(PATCHES), values)
    stored = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "zarr.json"]
    assert len(stored) == 1
    assert stored[0].stat().st_size < 1.1 * values.nbytes
    array = zarr.open_array(tmp_path / "patches", mode="r")
    np.testing.assert_array_equal(array[3, :10], values[3])
    assert not array[3, 10:1000].any()
    assert not array[3, -1].any()
