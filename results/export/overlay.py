"""JPEG files of the photos, half covered by the colours of the classes. The background stays as it is."""

import io

import numpy as np

from usseg.results.export.format import Format, Masks, Split

QUALITY = 90


def encode(masks: Masks, split: Split) -> bytes:
    """The JPEG file of one image: a pixel of a class is the mean of the photo and the colour of the class."""
    from PIL import Image

    photo = masks.photo()
    mixed = ((photo.astype(np.uint16) + split.colors[masks.classes] + 1) // 2).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(np.where(masks.classes[:, :, None] > 0, mixed, photo)).save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()


FORMAT = Format(
    summary="JPEG files of the photos with the colours of the classes at 50 %.",
    file="{id}.jpg",
    encode=encode,
)
