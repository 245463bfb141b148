"""Arrays of an artifact on disk: chunks, shards, and writing rows."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.artifact import ArraySpec
from usseg.pipeline.disk import sync

BLOCK = 32  # images per shard: a worker owns whole shards, so the size is part of the format
SMALL = 65_536  # bytes an image below which an array needs no chunk per image
CHUNK = 1 << 20  # bytes: where an image has more, it has several chunks, so that a small image never fills a large one
SHARD_CHUNKS = 8  # chunks an image has in one shard
PIXELS, SHARD_PIXELS = 1 << 18, 1 << 22  # of a chunk and of a shard, along a ragged axis
COMPRESSION = 1  # zstd's level: floats take the bytes of the default level 3, and a third of the time less


def create_arrays(
    folder: Path, specs: Mapping[str, ArraySpec], dtypes: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Create empty arrays. Chunks that hold nothing but the fill value are never stored."""
    import zarr.codecs

    for name, spec in specs.items():
        shape, dtype = shapes[name], np.dtype(dtypes[name])
        chunks, shards = chunks_of(spec, dtype, shape)
        zarr.create_array(
            str(folder / name),
            shape=shape,
            dtype=dtype,
            chunks=chunks,
            shards=shards,
            compressors=zarr.codecs.ZstdCodec(level=COMPRESSION),
            fill_value=dtype.type(spec.fill),
            dimension_names=spec.axes if len(spec.axes) == len(shape) else (*spec.axes, "byte"),
        )


def chunks_of(
    spec: ArraySpec, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """Chunks, and the shards that hold them: some chunks an image, a shard a block; or a chunk a block where images are small.

    The longest axis of an image is cut into chunks.
    """
    if spec.ragged:
        return (PIXELS,), (SHARD_PIXELS,)
    sides = [max(1, side) for side in shape]
    per_image = math.prod(sides[1:]) * dtype.itemsize
    if spec.axes[0] != "image" or per_image < SMALL:
        return ((min(BLOCK, sides[0]) if spec.axes[0] == "image" else sides[0]), *sides[1:]), None
    longest = sides.index(max(sides[1:]), 1)
    number = min(-(-per_image // CHUNK), sides[longest])
    sides[longest] = -(-sides[longest] // number)
    shard = [min(BLOCK, sides[0]), *sides[1:]]
    shard[longest] *= min(number, SHARD_CHUNKS)
    return (1, *sides[1:]), tuple(shard)


def write_rows(folder: Path, name: str, place: slice | tuple[slice, ...], values: npt.NDArray[Any]) -> None:
    """Write a part of one array."""
    import zarr

    if values.size:
        zarr.open_array(str(folder / name), mode="r+")[place] = values


def sync_rows(folder: Path, name: str, shards: range) -> None:
    """Bring the shards of a block, numbered along the first axis, to the disk."""
    for number in shards:
        shard = folder / name / "c" / str(number)
        if shard.exists():  # a shard of nothing but the fill value is not written
            sync(shard)
            sync(shard.parent, deep=False)


def check_block(name: str, spec: ArraySpec, dtype: str, shape: tuple[int, ...], values: Any) -> npt.NDArray[Any]:
    """Check what a stage returned against its declaration; a mismatch is our own mistake."""
    array = np.asarray(values)
    assert array.shape == shape, f"{name}: shape {array.shape}, declared {shape} {spec.axes}"
    assert array.dtype == np.dtype(dtype), f"{name}: dtype {array.dtype}, declared {dtype}"
    if array.dtype.kind == "f":
        assert np.isfinite(array).all(), f"{name}: not finite"
    return array


def encode_strings(values: Any) -> npt.NDArray[np.uint8]:
    """Strings -> zero-padded utf-8, uint8 (image, byte)."""
    encoded = [str(value).encode() for value in values]
    width = max([1, *map(len, encoded)])
    return np.frombuffer(b"".join(row.ljust(width, b"\0") for row in encoded), np.uint8).reshape(-1, width)
