"""Meaning of the raw values of a label image.

A label image stores raw values: grey values, palette indices, or colours where `index.label_values` names colours.
The colour #rrggbb is the number 0xrrggbb. `index.label_values` maps raw values to classes.
`index.ignore` holds the raw values that are never scored.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
PIXELS = 1 << 20  # of a label image that are mapped at a time
UNSCORED = -1  # class of a pixel that is never scored
UNCOVERED, CROWD = -1, -2  # in a map of COCO categories: pixels of no object, and pixels of a crowd
WORDS = {UNCOVERED: "pixels of no object", CROWD: "pixels of a crowd"}
LARGEST = 2**31 - 1  # the largest raw value
MOST = 65536  # most raw values of a range
GREY_RANGE = 32  # least number of raw values of a class that is a range of grey levels
NUMBERS = re.compile(r"([0-9]{1,10})(?:-([0-9]{1,10}))?")
COLOR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class LabelValues:
    """Meaning of raw values.

    Without `label_values`, a raw value is the number of its class. Without `classes` too, every raw value from 0 on is
    a class.

    Attributes:
        classes: names of the classes, in order.
        label_values: the raw values of each class, as `label_table` reads them.
        ignore: raw values that are never scored, as `raw_value` reads them.
    """

    classes: Sequence[str] = ()
    label_values: Sequence[str] = ()
    ignore: Sequence[int | str] = ()

    @classmethod
    def of(cls, index_params: Mapping[str, Any]) -> "LabelValues":
        """The label values of the section `index` of params.yaml."""
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
        """Whether masks are thresholded:

        every class is a range of at least GREY_RANGE levels, and one class has 255.
        """
        sizes = Counter(self.table.values())
        return len(sizes) > 1 and min(sizes.values()) >= GREY_RANGE and 255 in self.table

    @cached_property
    def ignored(self) -> frozenset[int]:
        """The raw values that are never scored.

        With `grey_ranges` 255 is not ignored, although it is the default of `ignore`: it is the white of a mask.
        """
        numbers = {raw_value(value) for value in self.ignore if self.colors == isinstance(value, str)}
        return frozenset(numbers - {255} if self.grey_ranges else numbers)

    def to_classes(self, raw: I64) -> I64:
        """Map raw values to classes, of the same shape: UNSCORED where the value is ignored or belongs to no class."""
        flat, classes = raw.reshape(-1), np.empty(raw.size, np.int64)
        for piece in pieces(raw.size):
            values, inverse = np.unique(flat[piece], return_inverse=True)
            mapped = [UNSCORED if value in self.ignored else self.class_of(value) for value in values.tolist()]
            classes[piece] = np.array(mapped, np.int64)[inverse]
        return classes.reshape(raw.shape)

    def class_of(self, value: int) -> int:
        """The class of a raw value that is not ignored: UNSCORED where the value belongs to no class."""
        if self.label_values:
            return self.table.get(value, UNSCORED)
        known = value >= 0 and (not self.classes or value < len(self.classes))
        return value if known else UNSCORED

    def shown(self, value: int) -> str:
        """A raw value as params.yaml writes it; UNCOVERED and CROWD in words."""
        if value in WORDS:
            return WORDS[value]
        return f"#{value:06x}" if self.colors else str(value)


def pieces(size: int) -> Iterator[slice]:
    """Slices of at most PIXELS pixels. Each step copies its pixels, so a large label image is handled in pieces."""
    yield from (slice(start, start + PIXELS) for start in range(0, size, PIXELS))


def raw_value(written: int | str) -> int:
    """The raw value of a number, or of a colour such as '#804080'.

    Raises:
        ValueError: the string is not a colour.
    """
    if isinstance(written, str):
        if not COLOR.fullmatch(written):
            raise ValueError(f"{written!r}: a number such as 255 or a colour such as '#804080' is allowed")
        return int(written[1:], 16)
    return written


def label_table(label_values: Sequence[str]) -> dict[int, int]:
    """Raw value -> class, from one entry for each class, such as `7`, `0-3, 9` or `#804080, #111111`.

    Raises:
        ValueError: an entry is no number, range or colour; numbers and colours are mixed; a range is reversed or too
            long; or a value is named twice.
    """
    table: dict[int, int] = {}
    colors = any("#" in entry for entry in label_values)
    for position, entry in enumerate(label_values):
        for part in map(str.strip, entry.split(",")):
            if colors:
                if not COLOR.fullmatch(part):
                    raise ValueError(
                        f"{entry!r}: other entries are colours, so only colours such as '#804080, #111111' are allowed"
                    )
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
