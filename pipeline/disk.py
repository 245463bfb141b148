"""Writes and removals that are safe against a kill or a loss of power."""

import os
import shutil
from pathlib import Path


def write_file(path: Path, content: bytes) -> None:
    """Write a file atomically and flush it to the disk."""
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
    """Flush a file, or a folder and everything below it, to the disk. `deep=False` flushes the folder alone."""
    for part in [*(path.rglob("*") if deep else ()), path]:
        handle = os.open(part, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove(path: Path) -> None:
    """Remove a file, a link (not its target), or a folder; files of the folder that cannot be removed stay."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def drop(folder: Path) -> None:
    """Remove a partial folder. It is renamed first: a kill never leaves half of it under its own name."""
    dropped = folder.with_suffix(".dropped")
    os.rename(folder, dropped)
    shutil.rmtree(dropped)
