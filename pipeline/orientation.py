"""EXIF orientation of a photo, and the transforms of maps and boxes from stored to upright pixels."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.images import opened

ORIENTATION = 0x0112  # the EXIF tag
TRANSPOSED, FLIPPED_X, FLIPPED_Y = (5, 6, 7, 8), (2, 3, 6, 7), (3, 4, 7, 8)


def orientation_of(path: Path) -> int | None:
    """EXIF orientation of an image file, 1 (upright) to 8; None if the file has none.

    Raises:
        ImageError: the file is unreadable.
    """
    if path.suffix.lower() == ".mat":
        return None
    with opened(path) as image:
        orientation = image.getexif().get(ORIENTATION)
    return orientation if orientation in range(1, 9) else None


def stored_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Stored height and width of an image whose upright height and width are `size`."""
    return (size[1], size[0]) if orientation in TRANSPOSED else size


def turn_map(values: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Turn a map (height, width) of the stored pixels upright."""
    if orientation in TRANSPOSED:
        values = values.T
    if orientation in FLIPPED_X:
        values = values[:, ::-1]
    return np.ascontiguousarray(values[::-1] if orientation in FLIPPED_Y else values)


def turn_boxes(boxes: npt.NDArray[np.int64], orientation: int, size: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Turn boxes on the stored pixels upright.

    Args:
        boxes: (box, 4): xmin, ymin, xmax, ymax in pixels, half open.
        orientation: EXIF orientation, 1 to 8.
        size: upright height and width.
    """
    height, width = size
    if orientation in TRANSPOSED:
        boxes = boxes[:, [1, 0, 3, 2]]
    if orientation in FLIPPED_X:
        boxes = np.array([width, 0, width, 0]) + boxes[:, [2, 1, 0, 3]] * (-1, 1, -1, 1)
    if orientation in FLIPPED_Y:
        boxes = np.array([0, height, 0, height]) + boxes[:, [0, 3, 2, 1]] * (1, -1, 1, -1)
    return boxes
