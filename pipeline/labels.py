"""Label images: what a file stores, and what the label values mean.

A file stores raw values: grey values, palette indices, or colours where `index.label_values` names colours. A colour #rrggbb is the
number 0xrrggbb. `index.label_values` maps raw values to classes, and `index.ignore` holds raw values that are never scored.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.errors import ImageError
from usseg.pipeline.images import opened, read_matrix, upright

I64 = npt.NDArray[np.int64]
PIXELS = 1 << 20  # of a label image, looked at together
UNSCORED = -1  # in a map of classes: a pixel that is never scored
UNCOVERED, CROWD = -1, -2  # in a map of the categories of a COCO file: pixels of no object, of a crowd
WORDS = {UNCOVERED: "pixels of no object", CROWD: "pixels of a crowd"}
LARGEST = 2**31 - 1  # the largest raw value
MOST = 65536  # raw values that one class may have
GREY_RANGE = 32  # a class with so many levels is a range of grey, and no list of label numbers
NUMBERS = re.compile(r"([0-9]{1,10})(?:-([0-9]{1,10}))?")
COLOR = re.compile(r"#[0-9a-fA-F]{6}")
SHOWN = 5  # names or values in one line


@dataclass(frozen=True)
class LabelValues:
    """What raw values mean. Without a table a raw value is the number of its class; without classes every value is one."""

    classes: Sequence[str] = ()
    label_values: Sequence[str] = ()
    ignore: Sequence[int | str] = ()

    @classmethod
    def of(cls, index_params: Mapping[str, Any]) -> "LabelValues":
        """As params.yaml has it in the section index."""
        return cls(*(tuple(index_params.get(key) or ()) for key in ("classes", "label_values", "ignore")))

    @cached_property
    def colors(self) -> bool:
        """Whether raw values are colours."""
        return any("#" in entry for entry in self.label_values)

    @cached_property
    def table(self) -> dict[int, int]:
        """Raw value -> class; empty without `label_values`."""
        return label_table(self.label_values)

    @cached_property
    def grey_ranges(self) -> bool:
        """Whether every class is a wide range of grey levels, and one has white: masks are thresholded, not looked up."""
        sizes = Counter(self.table.values())
        return len(sizes) > 1 and min(sizes.values()) >= GREY_RANGE and 255 in self.table

    @cached_property
    def ignored(self) -> frozenset[int]:
        """The raw values never scored. Where classes are ranges of grey, white is not void, whatever the default of `ignore`."""
        numbers = {raw_value(value) for value in self.ignore if self.colors == isinstance(value, str)}
        return frozenset(numbers - {255} if self.grey_ranges else numbers)

    def to_classes(self, raw: I64) -> I64:
        """Raw values -> classes (any shape); -1 where the value is ignored or no class has it."""
        flat, classes = raw.reshape(-1), np.empty(raw.size, np.int64)
        for piece in pieces(raw.size):
            values, places = np.unique(flat[piece], return_inverse=True)
            found = [UNSCORED if value in self.ignored else self.class_of(value) for value in values.tolist()]
            classes[piece] = np.array(found, np.int64)[places]
        return classes.reshape(raw.shape)

    def class_of(self, value: int) -> int:
        """The class of a raw value that is not ignored; -1 where no class has it."""
        if self.label_values:
            return self.table.get(value, UNSCORED)
        return value if value >= 0 and (not self.classes or value < len(self.classes)) else UNSCORED

    def shown(self, value: int) -> str:
        """A raw value as params.yaml writes it, or what no raw value stands for, in words."""
        if value in WORDS:
            return WORDS[value]
        return f"#{value:06x}" if self.colors else str(value)


def pieces(size: int) -> Iterator[slice]:
    """Slices of so many pixels: a large label image is looked at piece by piece, since each step makes copies."""
    yield from (slice(start, start + PIXELS) for start in range(0, size, PIXELS))


def raw_value(written: int | str) -> int:
    """A number, or a colour such as '#804080'.

    Raises:
        ValueError: another string.
    """
    if isinstance(written, str):
        if not COLOR.fullmatch(written):
            raise ValueError(f"{written!r}: a number such as 255 or a colour such as '#804080' is allowed")
        return int(written[1:], 16)
    return written


def label_table(label_values: Sequence[str]) -> dict[int, int]:
    """Raw value -> class, from one entry for each class, such as `7`, `0-3, 9` or `#804080, #111111`.

    Raises:
        ValueError: no number, range or colour; numbers beside colours; a range that is reversed or too long; a value named twice.
    """
    table: dict[int, int] = {}
    colors = any("#" in entry for entry in label_values)
    for position, entry in enumerate(label_values):
        for part in map(str.strip, entry.split(",")):
            if colors:
                if not COLOR.fullmatch(part):
                    raise ValueError(f"{entry!r}: beside colours, colours such as '#804080, #111111' are allowed")
                first = last = int(part[1:], 16)
            else:
                numbers = NUMBERS.fullmatch(part)
                if numbers is None:
                    raise ValueError(f"{entry!r}: values such as '7', '0-3, 9' or '#804080' are allowed")
                first, last = int(numbers[1]), int(numbers[2] or numbers[1])
                if last < first:
                    raise ValueError(f"{entry!r}: the range {part} is reversed; {last}-{first} is allowed")
                if last > LARGEST or last - first >= MOST:
                    raise ValueError(f"{entry!r}: values to {LARGEST}, and at most {MOST} of them a range, are allowed")
            if len(table) + last - first >= 2 * MOST:
                raise ValueError(f"{entry!r}: at most {2 * MOST} values are allowed for all classes together")
            for value in range(first, last + 1):
                if value in table:
                    raise ValueError(f"value {part if colors else value} is named twice; a value belongs to one class")
                table[value] = position
    return table


def read_labels(path: Path, values: LabelValues = LabelValues()) -> I64:
    """Read a label image as raw values, int64 (height, width), upright after its own EXIF orientation.

    A picture in RGB whose channels are equal is grey. An alpha channel must be opaque. A picture with two colours only (1 bit, or
    a palette of two) is a mask of 0 and 255 where a class has the value 255, else its values are 0 and 1, as stored.

    Raises:
        ImageError: unreadable; colours, and `values` names none; no integers; or class numbers where classes are ranges of grey.
    """
    if path.suffix.lower() == ".mat":
        raw, found = read_matrix(path), "a MATLAB array"
    else:
        with opened(path) as image:
            check_scale(image, path, values)
            raw, found = pixels(upright(image), path, values), f"mode {image.mode}"
    if raw.ndim == 3 and found.removeprefix("mode ") in ("RGB", "RGBA", "P", "PA"):
        if values.colors:
            return np.asarray(raw.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1]), np.int64)
        differing = (raw != raw[:, :, :1]).any(axis=2)
        if differing.any():
            color = "#{:02x}{:02x}{:02x}".format(*raw[differing][0].tolist())
            raise ImageError(
                f"{path}: found {found}; labels need one channel of integers (grey or palette), or colours in "
                f"index.label_values, such as '{color}', which is the first one here"
            )
        raw = raw[:, :, 0]
    if raw.ndim != 2 or raw.dtype.kind not in "biu":
        raise ImageError(f"{path}: found {found}; labels need one channel of integers (grey or palette)")
    raw = raw.astype(np.int64)
    if values.colors:
        if raw.size and raw.max() > 255:
            raise ImageError(f"{path}: found {found} with the value {raw.max()}; colours of 8 bits are needed")
        return raw * 0x010101
    return grey_levels(raw, path, values) if values.grey_ranges else raw


def check_scale(image: Any, path: Path, values: LabelValues) -> None:
    """Refuse a PGM or PPM whose numbers Pillow scales from another maximum, unless only levels of grey are asked for.

    Raises:
        ImageError: as it says.
    """
    if image.format == "PPM" and image.tile and str(image.tile[0][0]).startswith("ppm") and not values.grey_ranges:
        most = image.tile[0][3][1] if isinstance(image.tile[0][3], tuple) else 255
        if most not in (255, 65535):
            raise ImageError(
                f"{path}: its maximum is {most}; labels need a maximum of 255 or 65535, or another format, such as PNG"
            )


def grey_levels(raw: I64, path: Path, values: LabelValues) -> I64:
    """Grey values of a mask as 8 bits; 16 bits are scaled.

    Raises:
        ImageError: the mask holds class numbers: all fall into the first range.
    """
    highest = int(raw.max()) if raw.size else 0
    if 0 < highest < len(values.classes):
        raise ImageError(
            f"{path}: found the values 0 to {highest}, which are class numbers; index.label_values has ranges of grey "
            f"({', '.join(values.label_values)}); set index.label_values to [] for this split's masks"
        )
    return raw if highest <= 255 else raw // 257


def pixels(image: Any, path: Path, values: LabelValues) -> npt.NDArray[Any]:
    """The channels of a label image that mean something: (height, width), or (height, width, 3) in RGB."""
    mode = str(image.mode)
    if mode in ("RGBA", "LA", "PA"):
        alpha = np.asarray(image.getchannel("A"))
        if alpha.min(initial=255) < 255:
            raise ImageError(
                f"{path}: {int((alpha < 255).sum())} pixels are transparent; labels need an opaque image; save it without alpha"
            )
    if mode in ("RGB", "RGBA"):
        return np.asarray(image)[:, :, :3]
    if mode == "LA":
        return np.asarray(image)[:, :, 0]
    if mode == "1":
        return np.asarray(image).astype(np.uint8) * (255 if values.colors or 255 in values.table else 1)
    if mode in ("P", "PA"):
        indices = np.asarray(image)[:, :, 0] if mode == "PA" else np.asarray(image)
        return palette_values(indices, image, values)
    return np.asarray(image)


def palette_values(indices: npt.NDArray[np.uint8], image: Any, values: LabelValues) -> npt.NDArray[Any]:
    """What the indices into a palette stand for.

    Where label values are colours, the colours. Where a class has the value 255, the greys of a grey palette, or 0 and 255 for
    the darker and the lighter colour of a palette of two. Else the indices.
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


@dataclass(frozen=True)
class LabelCounts:
    """Pixels of one label image: by class, and those that are not scored by raw value."""

    classes: Mapping[int, int]
    unscored: Mapping[int, int]


@dataclass
class LabelTally:
    """The same of a split, and what the user should know of it."""

    values: LabelValues
    classes: Counter[int] = field(default_factory=Counter)
    unscored: Counter[int] = field(default_factory=Counter)
    images: int = 0

    def add(self, counts: LabelCounts | None) -> None:
        """Count one more label image."""
        if counts:
            self.images += 1
            self.classes.update(counts.classes)
            self.unscored.update(counts.unscored)

    def lines(self, split: str) -> list[str]:
        """Classes without a pixel, and pixels whose value no class has, a line each."""
        if not self.images:
            return []
        values, lines = self.values, []
        ignored = {value: count for value, count in self.unscored.items() if value in values.ignored}
        unnamed = {value: count for value, count in self.unscored.items() if value not in values.ignored}
        absent = [name for number, name in enumerate(values.classes) if not self.classes[number]]
        void = f"{some(map(values.shown, sorted(ignored)))} {'is' if len(ignored) == 1 else 'are'} in index.ignore"
        if absent:
            line = f"class {absent[0]} has" if len(absent) == 1 else f"classes {some(absent)} have"
            line += f" no pixel in {split}" + (f"; {void}" if ignored else "")
            if 255 in ignored and len(values.classes) == 2 and not values.label_values:
                line += "; for masks of 0 and 255 set index.label_values to ['0-127', '128-255']"
            lines.append(line)
        total = sum(self.classes.values()) + sum(self.unscored.values())
        if unnamed:
            count = sum(unnamed.values())
            shown = some(values.shown(value) for value, _ in Counter(unnamed).most_common())
            lines.append(
                f"{count} pixels ({100 * count / total:.1f} %) of {split} have label values that no class has: {shown}; "
                "they are not scored"
            )
        if not values.classes and ignored:
            lines.append(f"{sum(ignored.values())} of {total} labelled pixels of {split} are not scored: {void}")
        return lines


def some(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more
