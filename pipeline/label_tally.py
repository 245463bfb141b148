"""Pixel counts of label images, by class and by raw value."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from usseg.pipeline.label_values import LabelValues

SHOWN = 5  # names or values that a message lists


@dataclass(frozen=True)
class LabelCounts:
    """Pixel counts of one label image: scored pixels by class, unscored pixels by raw value."""

    classes: Mapping[int, int]
    unscored: Mapping[int, int]


@dataclass
class LabelTally:
    """Pixel counts of the label images of a split, and the lines that the user should read about them."""

    values: LabelValues
    classes: Counter[int] = field(default_factory=Counter)
    unscored: Counter[int] = field(default_factory=Counter)
    images: int = 0

    def add(self, counts: LabelCounts | None) -> None:
        """Add the counts of one image; None is an image without a label image."""
        if counts:
            self.images += 1
            self.classes.update(counts.classes)
            self.unscored.update(counts.unscored)

    def lines(self, split: str) -> list[str]:
        """Lines about classes without a pixel, and about pixels whose value belongs to no class."""
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
                f"{count} pixels ({100 * count / total:.1f} %) of {split} have label values that no class has: "
                f"{shown}; they are not scored"
            )
        if not values.classes and ignored:
            lines.append(f"{sum(ignored.values())} of {total} labelled pixels of {split} are not scored: {void}")
        return lines


def some(names: Iterable[str]) -> str:
    """The first SHOWN names, and the number of the others."""
    listed = list(names)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more
