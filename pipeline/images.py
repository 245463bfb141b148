"""Decode image and label files of any common format and mode."""

import functools
import hashlib
import importlib.util
import math
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.errors import ImageError

# Pillow chooses its decoder by content, and other formats than these start programs (EPS: Ghostscript).
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "JPEG2000", "AVIF")  # MPO is opened as JPEG
NAMES = "JPEG, PNG, TIFF, WebP, BMP, GIF, PPM, MPO, JPEG 2000 and AVIF are read"
# The index tells what Pillow warns of, with the file; other stages read the same files.
warnings.filterwarnings("ignore", module=r"PIL\.")
STRIP = 1 << 22  # pixels that are converted at a time, so that a large image needs no second copy
MAX_SAMPLE, SAMPLE_FORMAT, BITS = 281, 339, 258  # tags of TIFF


def check_regular(path: Path) -> None:
    """Refuse what is no regular file: to open a FIFO is to wait.

    Raises:
        ImageError: missing, a link to nothing, a folder, FIFO, socket or device.
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


@functools.cache
def formats() -> tuple[str, ...]:
    """The formats that Pillow may open; with the package pillow-heif installed HEIF too."""
    if importlib.util.find_spec("pillow_heif") is None:
        return FORMATS
    importlib.import_module("pillow_heif").register_heif_opener()
    return (*FORMATS, "HEIF")


def foreign(path: Path) -> str:
    """What a file is that Pillow cannot identify, as far as its first bytes tell, and what to do."""
    with path.open("rb") as stream:
        head = stream.read(12)
    if head[4:8] == b"ftyp" and head[8:11] in (b"hei", b"hev", b"mif", b"msf"):
        return "HEIC; run: pip install pillow-heif, or convert it to JPEG"
    kinds = {b"%!PS": "PostScript", b"\xc5\xd0\xd3\xc6": "PostScript", b"%PDF": "PDF", b"8BPS": "PSD"}
    found = kinds.get(head[:4])
    return f"not an image that Pillow can read{f', found {found}' if found else ''}; {NAMES}"


def reason(error: Exception) -> str:
    """What an error says, in one line; its name where it says nothing, as MemoryError does."""
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open an image file with Pillow; the pixels of its first page or frame are not decoded yet.

    Raises:
        ImageError: whatever goes wrong, inside the `with` block too; one line with the path and the cause.
    """
    from PIL import Image, UnidentifiedImageError

    check_regular(path)
    Image.MAX_IMAGE_PIXELS = None  # `check_header` has a limit that the user can raise
    try:
        with Image.open(path, formats=formats()) as image:
            yield image
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"{path}: {foreign(path)}") from None
    except Exception as error:  # the decoders raise a different type for each way a file can be broken
        raise ImageError(f"{path}: {reason(error)}") from None


def open_upright(path: Path) -> Any:
    """Open with Pillow: the first page or frame, fully decoded, rotated as EXIF says."""
    with opened(path) as image:
        return upright(image)


def upright(image: Any) -> Any:
    """The same image, decoded and rotated as its EXIF says."""
    from PIL import ImageOps

    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    return image


@dataclass(frozen=True)
class Unread:
    """What `read_image` leaves of a file: pages or frames behind the first, and the lower half of colours of 16 bits a channel."""

    pages: int = 0
    lower_bits: bool = False


def check_header(path: Path, most: int) -> Unread:
    """Hold the size that a file declares against a limit, without decoding it; returns what will not be read of it.

    Raises:
        ImageError: more pixels than `most`, or no image.
    """
    if path.suffix.lower() == ".mat":
        (width, height), unread = matrix_size(path), Unread()
    else:
        with opened(path) as image:
            width, height = image.size
            deep = image.mode.startswith(("RGB", "LA")) and any(";16" in str(tile[3]) for tile in image.tile)
            unread = Unread(getattr(image, "n_frames", 1) - 1, deep)
    if width * height > most:
        raise ImageError(
            f"{path}: found {width} x {height} = {width * height:,} pixels; index.max_pixels allows {most:,}, raise it"
        )
    return unread


def strips(image: Any) -> Iterator[tuple[slice, Any]]:
    """The image in strips of whole rows, each with the rows that it covers."""
    width, height = image.size
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        below = min(top + rows, height)
        yield slice(top, below), image if rows >= height else image.crop((0, top, width, below))


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """Read an image as uint8 RGB (height, width, 3), upright after EXIF; the first page or frame where there are several.

    The first three channels of a MATLAB file are taken. Transparent pixels are shown on white. Greys of more than 8 bits are scaled to
    255 by what `full_scale` finds; what is negative or not finite is black.

    Raises:
        ImageError: missing, truncated, or no image; one line with the path and the cause.
    """
    if path.suffix.lower() == ".mat":
        channels = read_matrix(path)
        if channels.ndim != 3 or channels.shape[2] < 3 or channels.dtype != np.uint8:
            raise ImageError(
                f"{path}: found {channels.dtype} {channels.shape}; uint8 (height, width, 3 or more) is needed"
            )
        return np.ascontiguousarray(channels[:, :, :3])
    with opened(path) as image:
        declared, unsigned = declared_maximum(image), holds_uint32(image)
        upright(image)
        pixels = np.empty((image.height, image.width, 3), np.uint8)
        if image.mode.startswith(("I", "F")):
            most = max(float(greys(strip, unsigned).max()) for _, strip in strips(image))
            full = full_scale(most, image.mode, declared)
            for rows, strip in strips(image):
                pixels[rows] = np.rint(np.clip(greys(strip, unsigned) / full, 0.0, 1.0) * 255)[:, :, None]
        else:
            for rows, strip in strips(image):
                pixels[rows] = np.asarray(colors(strip))
        return pixels


def image_size(path: Path) -> tuple[int, int]:
    """Height and width of what `read_image` returns; the whole file is decoded, so that it is known to be readable.

    Raises:
        ImageError: as `read_image`.
    """
    if path.suffix.lower() == ".mat":
        height, width = read_image(path).shape[:2]
        return height, width
    image = open_upright(path)
    return image.height, image.width


def colors(image: Any) -> Any:
    """The image as Pillow's RGB, what is transparent on white."""
    from PIL import Image

    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or image.info.get("transparency") is not None:
        colored = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", colored.size, "white"), colored)
    return image if image.mode == "RGB" else image.convert("RGB")


def holds_uint32(image: Any) -> bool:
    """Whether Pillow's int32 holds the bits of uint32, a TIFF's."""
    tags = image.tag_v2 if image.format == "TIFF" and image.mode == "I" else {}
    return tags.get(BITS) == (32,) and tags.get(SAMPLE_FORMAT, (1,)) == (1,)


def greys(image: Any, unsigned: bool) -> npt.NDArray[np.float64]:
    """The values of an integer or float image; 0 for what is not finite."""
    values = np.asarray(image)
    if unsigned:
        values = values.view(np.uint32)
    return np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)


def declared_maximum(image: Any) -> float | None:
    """The value that the file says is white, where it says so; the image is not decoded yet."""
    if image.format == "PPM" and image.tile[0][0] in ("ppm", "ppm_plain"):
        return 65535.0  # Pillow scales by the file's own maximum
    if image.format == "TIFF" and image.mode.startswith("I"):
        bits = int(image.tag_v2.get(BITS, (1,))[0])
        most = int(np.max(image.tag_v2.get(MAX_SAMPLE, 0)))
        if 0 < most < 2**bits - 1 or bits not in (16, 32):
            return float(most or 2**bits - 1)
    return None


def full_scale(most: float, mode: str, declared: float | None) -> float:
    """The grey that becomes 255: what the file declares; or else, from its largest value, 1.0 or that value of floats, and the maximum
    of 8, 10, 12, 14 or 16 bits, or that value, of integers. So 12 bits in 16 are no darker than in 12.
    """
    if declared is not None and declared >= most:
        return declared
    if mode.startswith("F"):
        return max(1.0, most)
    return next((2.0**bits - 1 for bits in (8, 10, 12, 14, 16) if most < 2**bits), most)


def read_matrix(path: Path) -> npt.NDArray[Any]:
    """The one array of a MATLAB file.

    Raises:
        ImageError: unreadable, or not one array.
    """
    from scipy.io import loadmat

    check_regular(path)
    try:
        with path.open("rb") as stream:
            arrays = {name: value for name, value in loadmat(stream).items() if not name.startswith("__")}
    except Exception as error:  # as above
        raise ImageError(f"{path}: {reason(error)}") from None
    if len(arrays) != 1:
        raise ImageError(f"{path}: found the arrays {sorted(arrays)}; a file with one is needed")
    return np.asarray(next(iter(arrays.values())))


def matrix_size(path: Path) -> tuple[int, int]:
    """Width and height of the largest array of a MATLAB file, from its headers; cells count as none.

    Raises:
        ImageError: unreadable.
    """
    from scipy.io import whosmat

    check_regular(path)
    try:
        with path.open("rb") as stream:
            shapes = [shape for _, shape, _ in whosmat(stream)]
    except Exception as error:  # as above
        raise ImageError(f"{path}: {reason(error)}") from None
    height, width = max(((*shape, 1, 1)[:2] for shape in shapes), key=math.prod, default=(0, 0))  # text has one axis
    return width, height


def file_checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def current_checksum(path: Path) -> str:
    """SHA-256 of an image or label file, computed once in a process for each size and time of change.

    Raises:
        ImageError: no regular file.
        FileNotFoundError: no file.
    """
    state = path.stat()
    check_regular(path)
    return remembered_checksum(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=4096)
def remembered_checksum(path: Path, changed: int, length: int) -> str:
    """As `file_checksum`, of a file of this time and length."""
    return file_checksum(path)
