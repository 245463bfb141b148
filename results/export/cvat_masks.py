"""A zip file as CVAT imports it as "Segmentation mask 1.1": PNG files in the colours of labelmap.txt."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

from usseg.results.export.format import Format, Masks, Split, labelmap, png, voc_colors

LIST = "ImageSets/Segmentation/default.txt"


def encode(masks: Masks, split: Split) -> dict[str, bytes]:
    """The two PNG files of one image: the colours of classes, and a colour for each 4-connected component."""
    numbers, _ = masks.components
    return {
        f"SegmentationClass/{masks.id}.png": png(split.colors[masks.classes]),
        f"SegmentationObject/{masks.id}.png": png(voc_colors(numbers)),
    }


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
)
