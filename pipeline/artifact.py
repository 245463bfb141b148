"""Artifacts: one zarr v3 group per stage and split, checked against its specification, resumable, published by rename."""

import functools
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.errors import ArtifactError

BLOCK = 32  # images per shard: a worker owns whole shards, so the size is part of the format
SMALL = 65_536  # bytes an image below which an array needs no chunk per image
CHUNK = 1 << 20  # bytes: where an image has more, it has several chunks, so that a small image never fills a large one
SHARD_CHUNKS = 8  # chunks an image has in one shard
PIXELS, SHARD_PIXELS = 1 << 18, 1 << 22  # of a chunk and of a shard, along a ragged axis
RAGGED = ("pixel", "soft_pixel")
COMPRESSION = 1  # zstd's level: floats take the bytes of the default level 3, and a third of the time less
GROUP = "zarr.json"  # the file with the attributes
ATTRIBUTES = {
    **{"stage": str, "version": int, "split": str, "params": dict, "num_images": int, "arrays": dict},
    **{"files": dict, "content": str, "digest": str},
}
REMEDY = "remove it and run its stage again"


@dataclass(frozen=True)
class ArraySpec:
    """What an array holds. `dtype` may be "str" (utf-8) or several names joined by "|".

    The only axis of a ragged array has the pixels of all images, row by row, one image after the other. It stands beside the
    arrays `start` (as START, which the runner writes) and `size` (height and width).
    """

    axes: tuple[str, ...]
    dtype: str
    doc: str
    fill: float = 0

    @property
    def ragged(self) -> bool:
        """Whether images have as many values as pixels, instead of a row each."""
        return self.axes[0] in RAGGED


START = ArraySpec(
    ("image",), "int64", "where the pixels of the image begin: height x width of them, row by row, belong to it"
)


@dataclass(frozen=True)
class PixelMaps:
    """The maps of a split, each of the size of its image: `maps[i]` is (height, width). No map but that one is read."""

    pixels: Any  # zarr (pixel,)
    starts: npt.NDArray[np.int64]  # (image,)
    sizes: npt.NDArray[np.int32]  # (image, 2)

    def __len__(self) -> int:
        return len(self.starts) if self.pixels.shape[0] else 0

    def __getitem__(self, i: int) -> npt.NDArray[Any]:
        if i >= len(self):
            raise IndexError(f"map {i} of {len(self)}")
        start, (height, width) = int(self.starts[i]), self.sizes[i].tolist()
        return np.asarray(self.pixels[start : start + height * width]).reshape(height, width)


@dataclass(frozen=True)
class Artifact:
    """A published artifact, opened read-only."""

    path: Path
    attrs: Mapping[str, Any]
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        """The array `name`: a zarr array to slice, decoded strings, or `PixelMaps`."""
        import zarr

        if self.attrs["arrays"][name]["dtype"] == "str":
            return read_strings(self.path / name, self.attrs["content"])
        array = zarr.open_array(str(self.path / name), mode="r")
        return (
            PixelMaps(array, self["start"][:], self["size"][:])
            if self.attrs["arrays"][name]["axes"][0] in RAGGED
            else array
        )

    @property
    def params(self) -> dict[str, Any]:
        """The params that made it."""
        return dict(self.attrs["params"])

    @property
    def num_images(self) -> int:
        """How many images its split has."""
        return int(self.attrs["num_images"])

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a function that the producing stage offers, on this artifact; the reading stage declares it in `Input.calls`."""
        assert name in self.functions, f"{name} of {self.attrs['stage']}: not in the calls of the input"
        return self.functions[name](self, *args, **kwargs)


@functools.lru_cache(maxsize=64)
def read_strings(path: Path, content: str) -> list[str]:
    """The strings of an array, decoded once for each content digest of its artifact."""
    import zarr

    rows = np.asarray(zarr.open_array(str(path), mode="r")[:])
    return [bytes(row).rstrip(b"\0").decode() for row in rows]


def artifact_path(project: Path, stage: str, split: str) -> Path:
    """Where the artifact of a stage and split stands."""
    return project / "artifacts" / stage / f"{split}.zarr"


def open_artifact(
    path: Path, *, functions: Mapping[str, Callable[..., Any]] | None = None, remedy: str = REMEDY
) -> Artifact:
    """Open a published artifact. Its attributes are checked; pipeline/integrity.py compares the bytes of its arrays.

    Raises:
        ArtifactError: it is missing, or no artifact of usseg; `remedy` says what to do.
    """
    damaged = f"{path}: its {GROUP} is damaged; {remedy}"
    try:
        content = json.loads((path / GROUP).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        more = f": it has no {GROUP}; {remedy}" if path.exists() and path.suffix == ".zarr" else ""
        raise ArtifactError(f"no artifact at {path}{more}") from None
    except (OSError, ValueError, RecursionError):
        raise ArtifactError(damaged) from None
    try:
        attrs = content["attributes"]["usseg"]
    except (LookupError, TypeError):
        raise ArtifactError(f"{path} is not an artifact of usseg; {REMEDY}") from None
    if not isinstance(attrs, dict) or not all(isinstance(attrs.get(key), kind) for key, kind in ATTRIBUTES.items()):
        raise ArtifactError(damaged)
    if not all(map(is_description, attrs["arrays"].values())):
        raise ArtifactError(damaged)
    return Artifact(path, attrs, functions or {})


def is_description(array: Any) -> bool:
    """Whether this is what the attributes say of an array: axes, dtype and doc, all strings."""
    if not isinstance(array, dict) or not isinstance(array.get("axes"), list) or not array["axes"]:
        return False
    return all(isinstance(text, str) for text in (*array["axes"], array.get("dtype"), array.get("doc")))


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


def array_files(folder: Path) -> dict[str, Path]:
    """The files of all arrays, by their path below the artifact, sorted. Hidden files are no part of an artifact."""
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    hidden = {name for name in found if any(part.startswith(".") for part in name.split("/"))}
    return {name: found[name] for name in sorted(found.keys() - hidden - {GROUP})}


def content_digest(files: Mapping[str, str]) -> str:
    """SHA-256 over names and contents of array files, which are given by their digests."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + bytes.fromhex(files[name]))
    return digest.hexdigest()


def attributes_digest(attrs: Mapping[str, Any]) -> str:
    """SHA-256 over all attributes but itself."""
    named = {name: value for name, value in attrs.items() if name != "digest"}
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()


def seal(folder: Path, attrs: Mapping[str, Any]) -> str:
    """Complete the group in `folder` with the digests of all files, and bring all to the disk; returns its content digest."""
    for stray in [*folder.rglob("*.partial"), *folder.rglob(".*.new")]:  # left by writes that were killed
        stray.unlink()
    files = {}
    for name, path in array_files(folder).items():
        with path.open("rb") as stream:
            files[name] = hashlib.file_digest(stream, "sha256").hexdigest()
    whole = {**attrs, "files": files, "content": content_digest(files)}
    whole["digest"] = attributes_digest(whole)
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"usseg": whole}}
    write_file(folder / GROUP, json.dumps(group, indent=1).encode())
    sync(folder)
    return str(whole["content"])


def publish(folder: Path, target: Path) -> None:
    """Move a sealed group to `target` by rename. Killed in between, `recover` ends it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    old = replaced_path(target)
    if os.path.lexists(target):
        os.rename(target, old)
    os.rename(folder, target)
    sync(target.parent, deep=False)
    remove(old)


def replaced_path(target: Path) -> Path:
    """Where an artifact stands while another takes its place."""
    return target.with_name(f".{target.name}.old")


def recover(target: Path) -> None:
    """Bring back the artifact of a publication that was killed, or remove what it replaced; and half-written files beside it."""
    old = replaced_path(target)
    if os.path.lexists(old) and not os.path.lexists(target):
        os.rename(old, target)
    for left in [old, *target.parent.glob(f".{target.stem}.*.dropped")]:
        remove(left)
    for stray in target.parent.glob(f"..{target.stem}.*.new"):
        stray.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Remove what stands at a path: a folder as far as that is possible, a file, or a link and not what it leads to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def drop(folder: Path) -> None:
    """Remove a partial folder so that no kill leaves a part of it under its name."""
    dropped = folder.with_suffix(".dropped")
    os.rename(folder, dropped)
    shutil.rmtree(dropped)


def sync(path: Path, *, deep: bool = True) -> None:
    """Bring a file, or a folder and all below it, to the disk, so that it outlives a loss of power."""
    for part in [*(path.rglob("*") if deep else ()), path]:
        handle = os.open(part, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and bring it to the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent, deep=False)
