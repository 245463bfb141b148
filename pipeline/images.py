"""Decode image and label files of any common format and mode."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import ImageError


def open_upright(path: Path) -> Any:
    """Open with Pillow, fully decoded, rotated as EXIF says."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            image.load()
            upright = ImageOps.exif_transpose(image)
            upright.info["transparency"] = image.info.get("transparency")
            return upright
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except UnidentifiedImageError:
        raise ImageError(f"{path}: not an image that Pillow can read") from None
    except Exception as error:  # the decoders raise a different type for each way a file can be broken
        raise ImageError(f"{path}: {' '.join(str(error).split())}") from None


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """Read an image as uint8 RGB (height, width, 3), upright after EXIF.

    Of a MATLAB file the first three channels are taken. Transparent pixels are shown on white; 16-bit and float greys are scaled from 65535 and 1.0 (or their maximum) to 255; what is not finite is black.

    Raises:
        ImageError: missing, truncated, or no image; one line with the path and the cause.
    """
    from PIL import Image

    if path.suffix == ".mat":
        channels = read_matrix(path)
        if channels.ndim != 3 or channels.shape[2] < 3 or channels.dtype != np.uint8:
            raise ImageError(
                f"{path}: found {channels.dtype} {channels.shape}; uint8 (height, width, 3 or more) is needed"
            )
        return np.ascontiguousarray(channels[:, :, :3])
    image = open_upright(path)
    if image.mode.startswith(("I", "F")):
        grey = np.nan_to_num(np.asarray(image, np.float64), posinf=0.0, neginf=0.0)
        full = 65535.0 if image.mode.startswith("I") else max(1.0, float(grey.max()))
        level = np.clip(grey / full, 0.0, 1.0)
        return np.repeat(np.rint(level * 255).astype(np.uint8)[:, :, None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or image.info.get("transparency") is not None:
        colored = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", colored.size, "white"), colored)
    return np.array(image.convert("RGB"), np.uint8)


def read_labels(path: Path) -> npt.NDArray[np.int64]:
    """Read a label map as int64 (height, width): grey values or palette indices, as stored.

    Raises:
        ImageError: unreadable, more than one channel, or no integers.
    """
    if path.suffix == ".mat":
        values, found = read_matrix(path), "a MATLAB array"
    else:
        image = open_upright(path)
        values, found = np.asarray(image), f"mode {image.mode}"
    if values.ndim != 2 or values.dtype.kind not in "biu":
        raise ImageError(f"{path}: found {found}; labels need one channel of integers (grey or palette)")
    return values.astype(np.int64)


def read_matrix(path: Path) -> npt.NDArray[Any]:
    """The one array of a MATLAB file.

    Raises:
        ImageError: unreadable, or not one array.
    """
    from scipy.io import loadmat

    try:
        with path.open("rb") as stream:
            arrays = {name: value for name, value in loadmat(stream).items() if not name.startswith("__")}
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except Exception as error:  # as above
        raise ImageError(f"{path}: {' '.join(str(error).split())}") from None
    if len(arrays) != 1:
        raise ImageError(f"{path}: found the arrays {sorted(arrays)}; a file with one is needed")
    return np.asarray(next(iter(arrays.values())))


def label_table(label_values: Sequence[str]) -> dict[int, int]:
    """Raw label value -> class, of one entry a class such as `7` or `0-3, 9`.

    Raises:
        ValueError: no number or range, or a value named twice.
    """
    table: dict[int, int] = {}
    for position, entry in enumerate(label_values):
        for part in entry.split(","):
            first, dash, last = part.strip().partition("-")
            if not first.isdigit() or (dash and not last.isdigit()):
                raise ValueError(f"{entry!r}: values such as '7' or '0-3, 9' are allowed")
            for value in range(int(first), int(last or first) + 1):
                if value in table:
                    raise ValueError(f"value {value} is named twice")
                table[value] = position
    return table


def to_classes(labels: npt.NDArray[np.int64], table: Mapping[int, int]) -> npt.NDArray[np.int64]:
    """Raw label values -> classes; -1 where no class has the value."""
    out = np.full(labels.shape, -1, np.int64)
    for value in np.unique(labels).tolist():
        out[labels == value] = table.get(value, -1)
    return out


def file_checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
