"""Writes and removals that are safe against a kill or a loss of power."""

import os
import shutil
from pathlib import Path


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


def sync(path: Path, *, deep: bool = True) -> None:
    """Bring a file, or a folder and all below it, to the disk, so that it outlives a loss of power."""
    for part in [*(path.rglob("*") if deep else ()), path]:
        handle = os.open(part, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


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
