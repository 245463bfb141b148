"""The pixels under a token grid, as the input of a head."""

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Pair = tuple[int, int]  # height and width, or row and column


def grid_image(image: Pixels, *, extent: Pair, offset: Pair, size: Pair) -> Pixels:
    """Resize the part of an image that its token grid covers: uint8 RGB (height, width, 3).

    It is bilinear with antialias. Where the grid reaches beyond the image, the last row and column are repeated.

    Args:
        image: uint8 RGB (height, width, 3), native size.
        extent, offset: height and width, and first row and column, in native pixels of the part under the grid:
            `extent` and `offset` of stage features.
        size: height and width of the result.
    """
    from PIL import Image

    (top, left), (rows, columns) = offset, extent
    missing = [max(0, first + count - side) for first, count, side in zip(offset, extent, image.shape, strict=False)]
    if any(missing):
        image = np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
    part = Image.fromarray(image[top : top + rows, left : left + columns])
    return np.array(part.resize(size[::-1], Image.Resampling.BILINEAR))  # writable: torch shares its memory
