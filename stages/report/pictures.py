"""Arrays -> small pictures for the page, as data URIs. Equal arrays give equal bytes."""

import base64
import io
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from usseg.stages.report.palette import VOID

U8 = npt.NDArray[np.uint8]
QUALITY = 85  # of JPEG files
DType = TypeVar("DType", bound=np.generic)


def color_map(labels_hw: npt.NDArray[np.integer], colors_K3: U8, *, void: tuple[int, int, int] = VOID) -> U8:
    """Labels (h, w) -> colours, uint8 RGB (h, w, 3). Labels outside the palette get the colour `void`."""
    table = np.vstack([colors_K3, np.array([void], np.uint8)])
    return np.asarray(table[np.where((labels_hw >= 0) & (labels_hw < len(colors_K3)), labels_hw, len(colors_K3))])


def eigenvector_picture(vectors_KN: npt.NDArray[np.floating], grid: tuple[int, int]) -> U8:
    """Eigenvectors 1 to 3 as red, green and blue, each stretched between its 2nd and 98th percentile."""
    h, w = grid
    out = np.full((h * w, 3), 128, np.uint8)
    for channel, vector in enumerate(vectors_KN[1:4]):
        low, high = np.percentile(vector, [2, 98])
        if high > low:
            out[:, channel] = np.clip((vector - low) / (high - low), 0, 1) * 255
    return out.reshape(h, w, 3)


def fitted_size(size: tuple[int, ...], side: int) -> tuple[int, int]:
    """Height and width, scaled so that the longer one is `side`."""
    factor = side / max(size[:2])
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def fit_within(image: U8, side: int) -> U8:
    """Scale an image so that the longer side is `side`."""
    height, width = fitted_size(image.shape, side)
    method = cv2.INTER_AREA if side < max(image.shape[:2]) else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), np.uint8)


def nearest_within(values: npt.NDArray[DType], side: int) -> npt.NDArray[DType]:
    """Scale values (row, column, ...) by nearest neighbour so that the longer side is `side`.

    Each position is rounded down.
    """
    picks = [
        np.minimum((np.arange(new) * (1 / (new / old))).astype(np.int64), old - 1)
        for new, old in zip(fitted_size(values.shape, side), values.shape, strict=False)
    ]
    return values[np.ix_(*picks)]


def draw_boxes(image: U8, boxes_B4: npt.NDArray[np.integer], *, color: tuple[int, int, int] = (255, 210, 0)) -> U8:
    """A copy of an image with the outlines of boxes (xmin, ymin, xmax, ymax), half open."""
    out = image.copy()
    width = max(2, max(image.shape[:2]) // 120)
    for x0, y0, x1, y1 in boxes_B4.tolist():
        cv2.rectangle(out, (x0, y0), (x1 - 1, y1 - 1), color, width)
    return out


def encoded(image: U8, *, kind: str = "JPEG") -> bytes:
    """The file of an image, JPEG or PNG."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(image).save(out, kind, **({"quality": QUALITY} if kind == "JPEG" else {"optimize": True}))
    return out.getvalue()


def data_uri(image: U8, *, kind: str = "JPEG") -> str:
    """An image as a data URI."""
    return f"data:image/{kind.lower()};base64,{base64.b64encode(encoded(image, kind=kind)).decode()}"
