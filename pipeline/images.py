"""Decode image and label files of any common format and mode."""

import hashlib
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

    Transparent pixels are shown on white; 16-bit and float greys are scaled from 65535 and 1.0 (or their maximum) to 255; what is not finite is black.

    Raises:
        ImageError: missing, truncated, or no image; one line with the path and the cause.
    """
    from PIL import Image

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
    image = open_upright(path)
    values = np.asarray(image)
    if values.ndim != 2 or values.dtype.kind == "f":
        raise ImageError(f"{path}: found mode {image.mode}; labels need one channel of integers (grey or palette)")
    return values.astype(np.int64)


def file_checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
