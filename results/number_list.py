"""Lists of whole numbers on the command line: `0-4`, `0,3,7`, `0-2,7`."""

import re
from collections.abc import Iterator, Sequence

from usseg.pipeline.errors import ParamsError
from usseg.pipeline.params import short_repr

MOST = 1000  # numbers of a list
PART = re.compile(r"(\d{1,10})(?:-(\d{1,10}))?", re.ASCII)


def numbers_of(text: str, *, option: str, low: int, high: int) -> tuple[int, ...]:
    """The numbers of a list, in the given order.

    Args:
        text: numbers and ranges, separated by commas. A range has both of its ends.
        option: the name of the option, for the messages.
        low, high: the smallest and the largest number that is allowed.

    Raises:
        ParamsError: the text is no such list, a number is repeated or not allowed, or there are more than MOST.
    """
    numbers: list[int] = []
    for part in text.split(","):
        found = PART.fullmatch(part.strip())
        first = int(found[1]) if found else -1
        last = int(found[2]) if found and found[2] else first
        if not low <= first <= last <= high:
            raise ParamsError(
                f"{option}: found {short_repr(part.strip())}; numbers from {low} to {high} are needed, "
                "as a range such as 3-6 or a list such as 3,5,9"
            )
        if last - first >= MOST or len(numbers) + last - first >= MOST:
            raise ParamsError(f"{option}: found more than {MOST} numbers; give fewer")
        numbers += range(first, last + 1)
    repeated = [number for place, number in enumerate(numbers) if number in numbers[:place]]
    if repeated:
        raise ParamsError(f"{option}: found {repeated[0]} twice; give every number once")
    return tuple(numbers)


def written(numbers: Sequence[int]) -> str:
    """A list of numbers as text: `0-4, 7`. Ascending neighbours are written as a range."""
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges(numbers))


def ranges(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The first and the last number of every run of ascending neighbours, in order."""
    first = previous = None
    for number in numbers:
        if first is None or previous is None or number != previous + 1:
            if first is not None and previous is not None:
                yield first, previous
            first = number
        previous = number
    if first is not None and previous is not None:
        yield first, previous
