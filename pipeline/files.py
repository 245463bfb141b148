"""Regular files and their checksums."""

import functools
import hashlib
import os
import stat
from pathlib import Path

from usseg.pipeline.errors import ImageError


def check_regular(path: Path) -> None:
    """Refuse a path that is not a regular file. Opening a FIFO would block.

    Raises:
        ImageError: the path is missing, or is a broken link, a folder, a FIFO, a socket or a device.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        reason = f"a link to {os.readlink(path)}, which does not exist" if path.is_symlink() else "no such file"
        raise ImageError(f"{path}: {reason}") from None
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror}") from None
    kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket"}
    if not stat.S_ISREG(mode):
        raise ImageError(f"{path}: found a {kinds.get(stat.S_IFMT(mode), 'device')}; a file is needed")


def file_checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def current_checksum(path: Path) -> str:
    """SHA-256 of an image or label file. It is cached in the process by path, size and time of change.

    Raises:
        ImageError: the path is no regular file.
        FileNotFoundError: the file is missing.
    """
    state = path.stat()
    check_regular(path)
    return remembered_checksum(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=4096)
def remembered_checksum(path: Path, changed: int, length: int) -> str:
    """SHA-256 of a file, cached by its path, time of change and length."""
    return file_checksum(path)
