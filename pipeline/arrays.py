"""Arrays of an artifact on disk: their chunks and shards, and functions that write and check rows."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.artifact import ArraySpec
from usseg.pipeline.disk import sync

BLOCK = 32  # images of a shard; a worker owns whole shards, so this number is part of the format
SMALL = 65_536  # bytes; below this size an image gets no chunk of its own
CHUNK = 1 << 20  # bytes; a larger image has several chunks, so that a small image does not fill a large chunk
SHARD_CHUNKS = 8  # most chunks of one image in a shard
PIXELS, SHARD_PIXELS = 1 << 18, 1 << 22  # pixels of a chunk and of a shard of a ragged array
COMPRESSION = 1  # zstd level; floats get as small as with the default level 3, in two thirds of the time


def create_arrays(
    folder: Path, specs: Mapping[str, ArraySpec], dtypes: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Create empty arrays below a folder. A chunk that holds only the fill value is not stored."""
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
    """Shapes of a chunk and of a shard; the shard is None where chunks are stored without shards.

    Large images: each image has one or more chunks, and a shard holds a block of images. The longest axis of an image
    is cut into chunks. Small images: one chunk holds a block of images. An array without an image axis is one chunk.
    """
    if spec.ragged:
        return (PIXELS,), (SHARD_PIXELS,)
    sides = [max(1, side) for side in shape]
    per_image = math.prod(sides[1:]) * dtype.itemsize
    if spec.axes[0] != "image":
        return tuple(sides), None
    if per_image < SMALL:
        return (min(BLOCK, sides[0]), *sides[1:]), None
    longest = sides.index(max(sides[1:]), 1)
    number = min(math.ceil(per_image / CHUNK), sides[longest])
    sides[longest] = math.ceil(sides[longest] / number)
    shard = [min(BLOCK, sides[0]), *sides[1:]]
    shard[longest] *= min(number, SHARD_CHUNKS)
    return (1, *sides[1:]), tuple(shard)


def write_rows(folder: Path, name: str, place: slice | tuple[slice, ...], values: npt.NDArray[Any]) -> None:
    """Write `values` at the position `place` of one array."""
    import zarr

    if values.size:
        zarr.open_array(str(folder / name), mode="r+")[place] = values


def sync_rows(folder: Path, name: str, shards: range) -> None:
    """Flush shards to the disk. `shards` are their numbers along the first axis."""
    for number in shards:
        shard = folder / name / "c" / str(number)
        if shard.exists():  # a shard that holds only the fill value is not stored
            sync(shard)
            sync(shard.parent, deep=False)


def check_block(name: str, spec: ArraySpec, dtype: str, shape: tuple[int, ...], values: Any) -> npt.NDArray[Any]:
    """Assert that an array of a stage has the declared shape and dtype, and that floats are finite."""
    array = np.asarray(values)
    assert array.shape == shape, f"{name}: shape {array.shape}, declared {shape} {spec.axes}"
    assert array.dtype == np.dtype(dtype), f"{name}: dtype {array.dtype}, declared {dtype}"
    if array.dtype.kind == "f":
        assert np.isfinite(array).all(), f"{name}: not finite"
    return array


def encode_strings(values: Any) -> npt.NDArray[np.uint8]:
    """Encode strings as UTF-8, padded with zeros: uint8 (image, byte)."""
    encoded = [str(value).encode() for value in values]
    width = max([1, *map(len, encoded)])
    return np.frombuffer(b"".join(row.ljust(width, b"\0") for row in encoded), np.uint8).reshape(-1, width)
