"""The EXIF orientation of a photo, and how boxes and maps of the photo as it is stored turn with it."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.images import opened

ORIENTATION = 0x0112  # the EXIF tag
TRANSPOSED, FLIPPED_X, FLIPPED_Y = (5, 6, 7, 8), (2, 3, 6, 7), (3, 4, 7, 8)


def orientation_of(path: Path) -> int | None:
    """EXIF orientation of an image file, 1 to 8; None where the file has none. 1 is upright.

    Raises:
        ImageError: unreadable.
    """
    if path.suffix.lower() == ".mat":
        return None
    with opened(path) as image:
        found = image.getexif().get(ORIENTATION)
    return found if found in range(1, 9) else None


def stored_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Height and width as stored, of an image that is `size` when upright."""
    return (size[1], size[0]) if orientation in TRANSPOSED else size


def turn_map(values: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """A map (height, width) of the stored pixels -> of the upright ones."""
    if orientation in TRANSPOSED:
        values = values.T
    if orientation in FLIPPED_X:
        values = values[:, ::-1]
    return np.ascontiguousarray(values[::-1] if orientation in FLIPPED_Y else values)


def turn_boxes(boxes: npt.NDArray[np.int64], orientation: int, size: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Boxes (xmin, ymin, xmax, ymax), half open, on the stored pixels -> on the upright ones, of height and width `size`."""
    height, width = size
    if orientation in TRANSPOSED:
        boxes = boxes[:, [1, 0, 3, 2]]
    if orientation in FLIPPED_X:
        boxes = np.array([width, 0, width, 0]) + boxes[:, [2, 1, 0, 3]] * (-1, 1, -1, 1)
    if orientation in FLIPPED_Y:
        boxes = np.array([0, height, 0, height]) + boxes[:, [0, 3, 2, 1]] * (1, -1, 1, -1)
    return boxes
