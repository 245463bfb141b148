"""Masks of aerial photos: GeoTIFF files with the coordinate system, transform and size of the photo.

A value is the number of a class. The nodata value is 255; usseg labels every pixel, so it does not occur. The file has
a colour table, and the name of each class in the tags of its band: CLASS_0, CLASS_1, ...
"""

import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.orientation import orientation_of
from usseg.results.export.format import Format, Masks, Split, labelmap

NODATA = 255
FILTERS = threading.Lock()  # the filters of warnings belong to all threads
U8 = npt.NDArray[np.uint8]
# EXIF orientation -> the pixels of the file, from upright pixels.
STORED: dict[int, Callable[[U8], U8]] = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.T,
    6: np.rot90,
    7: lambda upright: upright[::-1, ::-1].T,
    8: lambda upright: np.rot90(upright, -1),
}


@contextmanager
def quiet(*arguments: Any, **options: Any) -> Iterator[Any]:
    """`rasterio.open` without its warning about files that have no georeference."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    with FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        opened = rasterio.open(*arguments, **options)
    with opened as file:
        yield file


def georeference(masks: Masks, split: Split) -> dict[str, Any]:
    """What places a photo on the ground: `crs` and `transform`, or control points, or rational polynomials.

    The result is empty for a photo without a georeference, and for one that GDAL cannot open.
    """
    from rasterio.errors import RasterioIOError

    try:
        with quiet(split.root / masks.path) as photo:
            found: dict[str, Any] = {}
            if not photo.transform.is_identity:
                found["transform"] = photo.transform
            points, of_points = photo.gcps
            if points:
                found["gcps"] = points
            if photo.crs or (points and of_points):
                found["crs"] = photo.crs or of_points
            if photo.rpcs:
                found["rpcs"] = photo.rpcs
    except RasterioIOError:
        return {}
    return found


def encode(masks: Masks, split: Split) -> bytes:
    """The GeoTIFF of one image. It has the pixels of the photo's file, which EXIF may turn."""
    from rasterio.io import MemoryFile

    placed = georeference(masks, split)
    pixels = masks.classes.astype(np.uint8)
    if placed:
        pixels = STORED[orientation_of(split.root / masks.path) or 1](pixels)
    height, width = pixels.shape
    layout = {"driver": "GTiff", "count": 1, "dtype": "uint8", "compress": "deflate", "nodata": NODATA}
    with MemoryFile() as memory:
        with quiet(memory.name, "w", height=height, width=width, **layout, **placed) as file:
            file.write(np.ascontiguousarray(pixels), 1)
            file.write_colormap(1, {number: (*color, 255) for number, color in enumerate(split.colors.tolist())})
            file.update_tags(1, **{f"CLASS_{number}": name for number, name in enumerate(split.classes)})
        return bytes(memory.read())


def remark(masks: Masks, split: Split) -> str:
    """A part of a sentence for a photo without a georeference."""
    return "" if georeference(masks, split) else "no georeference: these masks have none, either"


def lists(split: Split) -> Mapping[str, str]:
    """The names of classes (line 1 is value 0), and their colours."""
    return {"classes.txt": "".join(f"{name}\n" for name in split.classes), "labelmap.txt": labelmap(split)}


FORMAT = Format(
    summary="GeoTIFF files with the coordinate system and transform of the photo; values are class numbers.",
    file="{id}.tif",
    encode=encode,
    lists=lists,
    most_classes=NODATA - 1,
    remark=remark,
    package="rasterio",
    extra="geo",
)
