"""Exports of CVAT in the format "segmentation masks".

Classes and colours are read from labelmap.txt, splits from the lists in ImageSets/Segmentation.
"""

import re
from pathlib import Path

from usseg.pipeline.errors import ParamsError
from usseg.results.datasets.layouts import Layout

LISTS = "ImageSets/Segmentation"
NAMES = {"default": "train", "train": "train", "validation": "val", "val": "val", "test": "test"}  # list -> split
NUMBER = re.compile(r" *[0-9]{1,3} *")


def cvat_layout(root: Path) -> Layout:
    """The layout of an export below root.

    Raises:
        ParamsError: labelmap.txt is missing or has another format, or two lists have the same split.
    """
    lists: dict[str, str | None] = {}
    for path in sorted((root / LISTS).glob("*.txt")):
        name, ids = NAMES.get(path.stem.lower(), path.stem), f"{LISTS}/{path.name}"
        if name in lists:
            raise ParamsError(f"{root}: {lists[name]} and {ids} both are split {name!r}; rename one of them")
        lists[name] = ids
    everything: dict[str, str | None] = {"train": None}
    splits = {
        name: {"images": "JPEGImages", "labels": "SegmentationClass", "ids": ids}
        for name, ids in (lists or everything).items()
    }
    return Layout("cvat", "CVAT", (splits,), classes=labelmap_classes(root / "labelmap.txt"))


def labelmap_classes(path: Path) -> dict[str, str]:
    """Read class -> colour such as #804080 from a labelmap.txt.

    A line is `name:red,green,blue:parts:actions`, or a comment that begins with #.

    Raises:
        ParamsError: the file is unreadable, a line has another format, or a name or colour occurs twice.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ParamsError(f"{path}: {reason}; the labelmap.txt of CVAT's export is needed") from None
    classes: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        parts = rest.split(":")[0].split(",")
        if not name.strip() or len(parts) != 3 or not all(NUMBER.fullmatch(part) and int(part) < 256 for part in parts):
            raise ParamsError(
                f"{path}: line {number}: found {line[:80]!r}; name:red,green,blue:parts:actions is needed"
            )
        color = "#{:02x}{:02x}{:02x}".format(*map(int, parts))
        if name.strip() in classes or color in classes.values():
            raise ParamsError(
                f"{path}: line {number}: the name or the colour of {line[:80]!r} is taken; each class needs its own"
            )
        classes[name.strip()] = color
    if not classes:
        raise ParamsError(f"{path}: found no class; lines name:red,green,blue:parts:actions are needed")
    return classes
