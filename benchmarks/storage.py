"""Bytes and seconds on disk: artifacts of usseg against one .pth file per image."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import reference
from usseg.pipeline.arrays import BLOCK, create_arrays, write_rows
from usseg.pipeline.artifact import ArraySpec
from usseg.pipeline.publication import seal

AXES = {"patches": ("image", "token", "channel"), "eigenvectors": ("image", "eigenvector", "token")}


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def rows_of_storage(folder: Path, values: dict[str, np.ndarray]) -> Iterator[tuple[str, str, str]]:
    """Yield a row (name, theirs, ours) for each array and precision.

    One image is stored BLOCK times with small changes.
    """
    for name, image in values.items():
        for dtype in ("float32", "float16") if name == "patches" else ("float32",):
            noise = np.random.default_rng(0).normal(0, 1e-3, (BLOCK, 1, image.shape[1]))
            block = (image[None] * (1 + noise)).astype(np.float32)
            theirs, ours = folder / "theirs", folder / "ours"
            for path in (theirs, ours):
                shutil.rmtree(path, ignore_errors=True)
            theirs.mkdir()
            started = time.perf_counter()
            for i, array in enumerate(block):
                reference.save(theirs / f"{i}.pth", {"k": reference.torch.from_numpy(array[None]), "id": str(i)})
            middle = time.perf_counter()
            create_arrays(ours, {name: ArraySpec(AXES[name], dtype, "")}, {name: dtype}, {name: block.shape})
            write_rows(ours, name, slice(0, BLOCK), block.astype(dtype))
            seal(ours, {})
            ended = time.perf_counter()
            label = f"{name}, {image.shape[0]} x {image.shape[1]}, {dtype}"
            yield label, cell(theirs, middle - started), cell(ours, ended - middle)


def cell(folder: Path, seconds: float) -> str:
    files = sum(path.is_file() for path in folder.rglob("*"))
    return f"{folder_bytes(folder) / BLOCK / 1024:.0f} KiB, {1000 * seconds / BLOCK:.1f} ms, {files} files"
