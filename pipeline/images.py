"""Image files: decode common formats and modes, and check sizes."""

import functools
import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.errors import ImageError, reason
from usseg.pipeline.files import check_regular
from usseg.pipeline.matlab import matrix_size, read_matrix

# Pillow chooses a decoder by content. Some formats that are not listed start programs (EPS: Ghostscript).
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "JPEG2000", "AVIF")  # MPO is opened as JPEG
NAMES = "JPEG, PNG, TIFF, WebP, BMP, GIF, PPM, MPO, JPEG 2000 and AVIF are read"
# The index reports what Pillow warns about, with the file name. Other stages read the same files.
warnings.filterwarnings("ignore", module=r"PIL\.")
STRIP = 1 << 22  # pixels that are converted at a time: a large image needs no second copy
MAX_SAMPLE, SAMPLE_FORMAT, BITS = 281, 339, 258  # TIFF tags


@functools.cache
def formats() -> tuple[str, ...]:
    """The formats that Pillow may open. HEIF is one of them if the package pillow-heif is installed."""
    if importlib.util.find_spec("pillow_heif") is None:
        return FORMATS
    importlib.import_module("pillow_heif").register_heif_opener()
    return (*FORMATS, "HEIF")


def foreign(path: Path) -> str:
    """The end of a message about a file that Pillow cannot identify: its kind, by its first bytes, and what to do."""
    with path.open("rb") as stream:
        head = stream.read(12)
    if head[4:8] == b"ftyp" and head[8:11] in (b"hei", b"hev", b"mif", b"msf"):
        return "HEIC; run: pip install pillow-heif, or convert it to JPEG"
    kinds = {b"%!PS": "PostScript", b"\xc5\xd0\xd3\xc6": "PostScript", b"%PDF": "PDF", b"8BPS": "PSD"}
    kind = kinds.get(head[:4])
    return f"not an image that Pillow can read{f', found {kind}' if kind else ''}; {NAMES}"


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open an image file with Pillow at its first page or frame. The pixels are not decoded yet.

    Raises:
        ImageError: any error, also inside the `with` block; one line with the path and the cause.
    """
    from PIL import Image, UnidentifiedImageError

    check_regular(path)
    Image.MAX_IMAGE_PIXELS = None  # `check_header` has its own limit, which the user can raise
    try:
        with Image.open(path, formats=formats()) as image:
            yield image
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"{path}: {foreign(path)}") from None
    except Exception as error:  # decoders raise many types for damaged files
        raise ImageError(f"{path}: {reason(error)}") from None


def open_upright(path: Path) -> Any:
    """Decode the first page or frame of an image file, turned upright by its EXIF orientation, as a Pillow image."""
    with opened(path) as image:
        return upright(image)


def upright(image: Any) -> Any:
    """Decode a Pillow image and turn it upright by its EXIF orientation, in place. Returns the image."""
    from PIL import ImageOps

    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    return image


@dataclass(frozen=True)
class Unread:
    """Parts of a file that `read_image` does not read.

    Attributes:
        pages: number of pages or frames after the first.
        lower_bits: whether the lower 8 bits of 16-bit colours are dropped.
    """

    pages: int = 0
    lower_bits: bool = False


def check_header(path: Path, most: int) -> Unread:
    """Check the number of pixels that a file declares, without decoding it. Returns what will not be read.

    Raises:
        ImageError: the file has more pixels than `most`, or is no image.
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
    """Yield strips of whole rows of an image, each with the slice of its rows."""
    width, height = image.size
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        yield slice(top, bottom), image if rows >= height else image.crop((0, top, width, bottom))


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """Read an image as RGB, uint8 (height, width, 3), turned upright by its EXIF orientation.

    A file with several pages or frames: the first one is read. A MATLAB file: the first three channels are read.
    Transparent pixels are blended with white. Grey values of more than 8 bits are scaled so that `full_scale` becomes
    255; negative values and values that are not finite become 0.

    Raises:
        ImageError: the file is missing, truncated, or no image; one line with the path and the cause.
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
    """Height and width of the image that `read_image` returns. The file is decoded completely to find damage.

    Raises:
        ImageError: as `read_image`.
    """
    if path.suffix.lower() == ".mat":
        height, width = read_image(path).shape[:2]
        return height, width
    image = open_upright(path)
    return image.height, image.width


def colors(image: Any) -> Any:
    """Convert a Pillow image to RGB. Transparent pixels are blended with white."""
    from PIL import Image

    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or image.info.get("transparency") is not None:
        colored = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", colored.size, "white"), colored)
    return image if image.mode == "RGB" else image.convert("RGB")


def holds_uint32(image: Any) -> bool:
    """Whether an image is a TIFF of uint32 values. Pillow stores their bits as int32."""
    tags = image.tag_v2 if image.format == "TIFF" and image.mode == "I" else {}
    return tags.get(BITS) == (32,) and tags.get(SAMPLE_FORMAT, (1,)) == (1,)


def greys(image: Any, unsigned: bool) -> npt.NDArray[np.float64]:
    """Values of an integer or float image as float64 (height, width). Values that are not finite become 0."""
    values = np.asarray(image)
    if unsigned:
        values = values.view(np.uint32)
    return np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)


def declared_maximum(image: Any) -> float | None:
    """The value of white that a file declares, or None. The image must not be decoded yet."""
    if image.format == "PPM" and image.tile[0][0] in ("ppm", "ppm_plain"):
        return 65535.0  # Pillow scales the file's own maximum to this value
    if image.format == "TIFF" and image.mode.startswith("I"):
        bits = int(image.tag_v2.get(BITS, (1,))[0])
        most = int(np.max(image.tag_v2.get(MAX_SAMPLE, 0)))
        if 0 < most < 2**bits - 1 or bits not in (16, 32):
            return float(most or 2**bits - 1)
    return None


def full_scale(most: float, mode: str, declared: float | None) -> float:
    """The grey value that becomes 255.

    - The declared maximum, if the file declares one and no pixel is above it.
    - Floats: 1.0, or the largest value of the image if that is above 1.0.
    - Integers: the maximum of 8, 10, 12, 14 or 16 bits, the first that is not below the largest value of the image; or
      the largest value itself. A 12-bit image in a 16-bit file is therefore not dark.

    Args:
        most: the largest value of the image.
        mode: the Pillow mode.
        declared: the result of `declared_maximum`.
    """
    if declared is not None and declared >= most:
        return declared
    if mode.startswith("F"):
        return max(1.0, most)
    return next((2.0**bits - 1 for bits in (8, 10, 12, 14, 16) if most < 2**bits), most)
