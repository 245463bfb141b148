"""What a format gets of each image and of a split, and the entry that a format has in the table.

Masks have the pixels of the image as usseg shows it: turned upright by its EXIF orientation.
"""

import io
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.results.export.components import Component, connected_components

U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]
I32 = npt.NDArray[np.int32]
LARGEST_CLASS = 65_535


@dataclass(frozen=True)
class Masks:
    """The masks of one image.

    Attributes:
        number: place of the image in the split, from 0.
        id: id of the image in the index.
        path: image file, relative to `index.root`; absolute where it is elsewhere.
        classes: class of each pixel, uint16 (height, width); 0 is the background.
        photo: reads the image, uint8 RGB (height, width, 3).
    """

    number: int
    id: str
    path: str
    classes: U16
    photo: Callable[[], U8]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.classes.shape[0], self.classes.shape[1]

    @cached_property
    def components(self) -> tuple[I32, list[Component]]:
        """The components of all classes, without the background; see `connected_components`."""
        return connected_components(self.classes)


@dataclass(frozen=True)
class Split:
    """A split that is exported.

    Attributes:
        name: its name.
        root: the folder of the images, absolute.
        folder: the folder of the files of this format and split, absolute.
        ids: id of each image.
        paths: image file of each image, relative to `root`.
        sizes: height and width of each image.
        classes: the name of each class; class 0 is the background.
        own_colors: class -> its colour in names.yaml, such as `#00a0ff`.
    """

    name: str
    root: Path
    folder: Path
    ids: list[str]
    paths: list[str]
    sizes: list[tuple[int, int]]
    classes: tuple[str, ...]
    own_colors: Mapping[int, str] = field(default_factory=dict)

    @cached_property
    def colors(self) -> U8:
        """The colour of each class, uint8 RGB (class, 3): its own, or that of its number in VOC's colour map.

        All colours differ: a class whose number has a colour that is another's own takes the first free one behind
        those of the classes.
        """
        taken = {tuple(bytes.fromhex(color[1:])) for color in self.own_colors.values()}
        numbers = list(range(len(self.classes)))
        free = (i for i in itertools.count(len(numbers)) if tuple(voc_colors(np.array(i)).tolist()) not in taken)
        colors = voc_colors(np.array(numbers))
        for number, color in enumerate(colors.tolist()):
            if number in self.own_colors:
                colors[number] = list(bytes.fromhex(self.own_colors[number][1:]))
            elif tuple(color) in taken:
                colors[number] = voc_colors(np.array(next(free)))
        return colors


def no_remark(masks: Masks, split: Split) -> str:
    """For a format that holds everything."""
    return ""


def no_lists(split: Split) -> Mapping[str, str]:
    """For a format without text files."""
    return {}


@dataclass(frozen=True)
class Format:
    """The entry of a format.

    Attributes:
        summary: what it writes, in one sentence.
        file: path of a file below the folder of the split. With `{id}` there is one file for each image.
        encode: the content for one image; called in threads. It returns bytes where there is one file for each image.
        collect: writes the one file of a split from the contents of all images, in order; None: one file an image.
        lists: text files of a split: path -> content.
        most_classes: the largest class that the format can hold.
        remark: what the content for an image lacks, as a part of a sentence; empty: nothing. The export counts the
            images with a remark.
        package: the package that it needs besides those of usseg; empty: none.
        extra: the extra of usseg that installs it.
    """

    summary: str
    file: str
    encode: Callable[[Masks, Split], Any]
    collect: Callable[[Path, Iterator[Any], Split], None] | None = None
    lists: Callable[[Split], Mapping[str, str]] = no_lists
    most_classes: int = LARGEST_CLASS
    remark: Callable[[Masks, Split], str] = no_remark
    package: str = ""
    extra: str = ""


def voc_colors(values: npt.NDArray[np.integer]) -> U8:
    """The colour of each value in the colour map of PASCAL VOC, uint8 RGB (..., 3).

    The bits of a value are dealt to red, green and blue in turn, the lowest ones to the highest bits of a channel.
    Different values below 2**24 have different colours; 0 is black. Source: `VOClabelcolormap` of the VOC devkit.
    """
    rest, colors = np.asarray(values, np.int64), np.zeros((*values.shape, 3), np.uint8)
    for place in range(7, -1, -1):
        for channel in range(3):
            colors[..., channel] |= ((rest >> channel & 1) << place).astype(np.uint8)
        rest = rest >> 3
    return colors


def labelmap(split: Split) -> str:
    """The text of a labelmap.txt of CVAT: a line `name:red,green,blue:parts:actions` for each class."""
    lines = ["# label:color_rgb:parts:actions"]
    for name, color in zip(split.classes, split.colors.tolist(), strict=True):
        lines.append(f"{name}:{','.join(map(str, color))}::")
    return "\n".join([*lines, ""])


def png(pixels: U8, palette: U8 | None = None) -> bytes:
    """A PNG file of uint8 pixels: RGB (height, width, 3), or indexes (height, width) into a palette (color, 3)."""
    from PIL import Image

    image, stream = Image.fromarray(pixels), io.BytesIO()
    if palette is not None:
        image.putpalette(palette.tobytes())
    image.save(stream, "PNG")
    return stream.getvalue()
