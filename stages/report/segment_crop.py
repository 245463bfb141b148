"""A segment in a square crop of its photo, with the surroundings, and an outline around it."""

import cv2
import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
CONTEXT = 1.3  # side of the square, as a multiple of the longer side of the box
LEAST = 48  # pixels of the photo; smallest side of the square
OUTSIDE = 60  # grey level beyond the edge of the photo
DARK, BRIGHT = (20, 20, 24), (255, 255, 255)  # of the outline, which is seen on every photo


def square_window(box: tuple[int, int, int, int], size: tuple[int, int]) -> tuple[int, int, int]:
    """Left, top and side of the square around a box. It lies in the photo where the photo is large enough.

    It is never larger than the longer side of the photo.

    Args:
        box: xmin, ymin, xmax, ymax, half open, pixels.
        size: height and width of the photo, pixels.
    """
    x0, y0, x1, y1 = box
    side = min(max(LEAST, round(CONTEXT * max(x1 - x0, y1 - y0))), max(size))

    def first(low: int, high: int, length: int) -> int:
        start = (low + high - side) // 2
        return (length - side) // 2 if side > length else min(max(start, 0), length - side)

    return first(x0, x1, size[1]), first(y0, y1, size[0]), side


def outlined_crop(image: U8, mask_hw: npt.NDArray[np.bool_], box: tuple[int, int, int, int], *, side: int) -> U8:
    """The crop with the outline of the segment, uint8 RGB (side, side, 3).

    Args:
        image: the photo, uint8 RGB (height, width, 3).
        mask_hw: the pixels of the segment, bool (height, width).
        box: box of the segment: xmin, ymin, xmax, ymax, half open, pixels.
        side: of the result, pixels.
    """
    left, top, length = square_window(box, mask_hw.shape)
    crop, mask = np.full((length, length, 3), OUTSIDE, np.uint8), np.zeros((length, length), np.uint8)
    height, width = mask_hw.shape
    rows, columns = slice(max(top, 0), min(top + length, height)), slice(max(left, 0), min(left + length, width))
    place = (
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )
    crop[place], mask[place] = image[rows, columns], mask_hw[rows, columns]
    method = cv2.INTER_AREA if length > side else cv2.INTER_CUBIC
    shown = np.asarray(cv2.resize(crop, (side, side), interpolation=method), np.uint8)
    grown = cv2.resize(mask, (side, side), interpolation=cv2.INTER_NEAREST)
    outlines, _ = cv2.findContours(grown, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    for color, thickness in ((DARK, 4), (BRIGHT, 2)):
        cv2.drawContours(shown, outlines, -1, color, thickness, cv2.LINE_AA)
    return shown
