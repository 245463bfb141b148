"""Pixel counts of label images, by class and by raw value."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from usseg.pipeline.label_values import LabelValues

SHOWN = 5  # names or values in one line


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
