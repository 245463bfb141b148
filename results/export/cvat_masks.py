"""A zip file as CVAT imports it as "Segmentation mask 1.1": palette PNG files in the colours of labelmap.txt.

CVAT reads it by datumaro, which knows the first 256 colours of VOC's colour map, and takes a colour for one mask of one
class. So an image has at most 255 masks.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from usseg.results.export.format import U8, Format, Masks, Split, labelmap, png, voc_colors

MOST = 255  # colours of components
LIST = "ImageSets/Segmentation/default.txt"


def encode(masks: Masks, split: Split) -> dict[str, bytes]:
    """The two PNG files of one image: the colours of classes, and the colours of 4-connected components."""
    return {
        f"SegmentationClass/{masks.id}.png": png(masks.classes.astype(np.uint8), split.colors),
        f"SegmentationObject/{masks.id}.png": png(colors_of_components(masks), voc_colors(np.arange(MOST + 1))),
    }


def colors_of_components(masks: Masks) -> U8:
    """The number of the colour of each pixel's component, uint8 (height, width); 0 for the background.

    Where there are more components, the largest have their own numbers, and the others of each class share one. CVAT
    then imports these as one mask.
    """
    numbers, components = masks.components
    if len(components) <= MOST:
        return numbers.astype(np.uint8)
    classes, places = np.unique([component.category for component in components], return_inverse=True)
    own = MOST - len(classes)
    largest = np.argsort([-component.area for component in components], kind="stable")[:own]
    colors = np.concatenate([[0], own + 1 + places]).astype(np.uint8)
    colors[largest + 1] = np.arange(1, own + 1)
    return colors[numbers]


def remark(masks: Masks, split: Split) -> str:
    """A part of a sentence for an image with more components than colours."""
    if len(masks.components[1]) <= MOST:
        return ""
    return f"more than {MOST} components: the smallest of each class become one mask, or use --min-area"


def collect(path: Path, parts: Iterator[dict[str, bytes]], split: Split) -> None:
    """Write the zip file. Equal contents give equal bytes: entries have no time."""
    lists = {"labelmap.txt": labelmap(split), LIST: "".join(f"{name}\n" for name in split.ids)}
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in lists.items():
            archive.writestr(zipfile.ZipInfo(name), text.encode())
        for files in parts:
            for name, content in files.items():
                archive.writestr(zipfile.ZipInfo(name), content)


FORMAT = Format(
    summary='A zip file for CVAT, "Segmentation mask 1.1": PNG files of classes and of connected components.',
    file="annotations.zip",
    encode=encode,
    collect=collect,
    most_classes=MOST,
    remark=remark,
)
