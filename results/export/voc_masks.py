"""Masks as PASCAL VOC distributes them: PNG files with a palette, whose values are the numbers of classes."""

from collections.abc import Mapping

import numpy as np

from usseg.results.export.format import Format, Masks, Split, labelmap, png, voc_colors

VOID = 255  # reserved by VOC for pixels without a class; usseg labels every pixel, so it does not occur


def encode(masks: Masks, split: Split) -> bytes:
    """The palette PNG of one image."""
    palette = voc_colors(np.arange(256))
    palette[: len(split.colors)] = split.colors
    return png(masks.classes.astype(np.uint8), palette)


def lists(split: Split) -> Mapping[str, str]:
    """The list of images, the names of classes (line 1 is value 0), and their colours."""
    return {
        f"ImageSets/Segmentation/{split.name}.txt": "".join(f"{name}\n" for name in split.ids),
        "classes.txt": "".join(f"{name}\n" for name in split.classes),
        "labelmap.txt": labelmap(split),
    }


FORMAT = Format(
    summary="PNG files with a palette; values are class numbers, 0 background, 255 reserved.",
    file="SegmentationClass/{id}.png",
    encode=encode,
    lists=lists,
    most_classes=VOID - 1,
)
