"""Label images: read a file as raw values. `pipeline.label_values` gives their meaning."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.errors import ImageError
from usseg.pipeline.images import opened, upright
from usseg.pipeline.label_values import I64, LabelValues
from usseg.pipeline.matlab import read_matrix

AS_STORED = LabelValues()  # no table: a raw value is its class


def read_labels(path: Path, values: LabelValues = AS_STORED) -> I64:
    """Read a label image as raw values, int64 (height, width), turned upright by its own EXIF orientation.

    An RGB image whose channels are equal is grey. An alpha channel must be opaque. An image with two colours (1 bit, or
    a palette of two) has the values 0 and 255 where a class has the value 255. Otherwise it has the stored values.

    Args:
        path: an image file, or a .mat file with one array.
        values: the meaning of raw values: it tells whether colours and masks are expected.

    Raises:
        ImageError: the file is unreadable; it has colours, but `values` names none; its values are no integers; or it
            has class numbers, but the classes are ranges of grey.
    """
    if path.suffix.lower() == ".mat":
        raw, kind = read_matrix(path), "a MATLAB array"
    else:
        with opened(path) as image:
            check_scale(image, path, values)
            raw, kind = pixels(upright(image), path, values), f"mode {image.mode}"
    if raw.ndim == 3 and kind.removeprefix("mode ") in ("RGB", "RGBA", "P", "PA"):
        if values.colors:
            return np.asarray(raw.astype(np.int64) @ np.array([0x010000, 0x000100, 0x000001]), np.int64)
        differing = (raw != raw[:, :, :1]).any(axis=2)
        if differing.any():
            color = "#{:02x}{:02x}{:02x}".format(*raw[differing][0].tolist())
            raise ImageError(
                f"{path}: found {kind}; labels need one channel of integers (grey or palette), or colours in "
                f"index.label_values, such as '{color}', which is the first one here"
            )
        raw = raw[:, :, 0]
    if raw.ndim != 2 or raw.dtype.kind not in "biu":
        raise ImageError(f"{path}: found {kind}; labels need one channel of integers (grey or palette)")
    raw = raw.astype(np.int64)
    if values.colors:
        if raw.size and raw.max() > 255:
            raise ImageError(f"{path}: found {kind} with the value {raw.max()}; colours of 8 bits are needed")
        return raw * 0x010101  # grey: the three channels are equal
    return grey_levels(raw, path, values) if values.grey_ranges else raw


def check_scale(image: Any, path: Path, values: LabelValues) -> None:
    """Refuse a PGM or PPM file whose values Pillow would scale. Masks are thresholded, so their scale does not matter.

    Raises:
        ImageError: the maximum that the file declares is not 255 or 65535, and `values` has no ranges of grey.
    """
    if image.format == "PPM" and image.tile and str(image.tile[0][0]).startswith("ppm") and not values.grey_ranges:
        decoder_args = image.tile[0][3]
        most = decoder_args[1] if isinstance(decoder_args, tuple) else 255
        if most not in (255, 65535):
            raise ImageError(
                f"{path}: its maximum is {most}; labels need a maximum of 255 or 65535, or another format, such as PNG"
            )


def grey_levels(raw: I64, path: Path, values: LabelValues) -> I64:
    """Grey values of a mask, 0 to 255; 16-bit values are scaled.

    Raises:
        ImageError: the values are class numbers, so all pixels would fall into the first range of grey.
    """
    highest = int(raw.max()) if raw.size else 0
    if 0 < highest < len(values.classes):
        raise ImageError(
            f"{path}: found the values 0 to {highest}, which are class numbers; index.label_values has ranges of grey "
            f"({', '.join(values.label_values)}); set index.label_values to [] for this split's masks"
        )
    return raw if highest <= 255 else raw // 257  # 65535 = 255 * 257


def pixels(image: Any, path: Path, values: LabelValues) -> npt.NDArray[Any]:
    """The channels of a label image that hold labels: (height, width), or (height, width, 3) in RGB.

    Raises:
        ImageError: a pixel is transparent.
    """
    mode = str(image.mode)
    if mode in ("RGBA", "LA", "PA"):
        alpha = np.asarray(image.getchannel("A"))
        if alpha.min(initial=255) < 255:
            raise ImageError(
                f"{path}: {int((alpha < 255).sum())} pixels are transparent; "
                "labels need an opaque image; save it without alpha"
            )
    if mode in ("RGB", "RGBA"):
        return np.asarray(image)[:, :, :3]
    if mode == "LA":
        return np.asarray(image)[:, :, 0]
    if mode == "1":
        white = 255 if values.colors or 255 in values.table else 1
        return np.asarray(image).astype(np.uint8) * white
    if mode in ("P", "PA"):
        indices = np.asarray(image)[:, :, 0] if mode == "PA" else np.asarray(image)
        return palette_values(indices, image, values)
    return np.asarray(image)


def palette_values(indices: npt.NDArray[np.uint8], image: Any, values: LabelValues) -> npt.NDArray[Any]:
    """Labels of a palette image, from its palette indices (height, width).

    - If label values are colours: the colours, (height, width, 3).
    - If a class has the value 255 and the used colours are grey: the grey levels.
    - If a class has the value 255 and the palette has two colours: 0 for the darker colour, 255 for the lighter one.
    - Otherwise: the indices.
    """
    colors = np.zeros((256, 3), np.uint8)
    listed = np.array(image.getpalette("RGB") or (), np.uint8).reshape(-1, 3)[:256]
    colors[: len(listed)] = listed
    if values.colors:
        return np.asarray(colors[indices])
    if 255 in values.table:
        used = colors[np.unique(indices)]
        if (used == used[:, :1]).all():
            return np.asarray(colors[indices, 0])
        both = np.unique(listed, axis=0)
        if len(both) == 2:
            light = both[both.sum(axis=1).argmax()]
            return np.where((colors == light).all(axis=1), 255, 0)[indices]
    return indices
