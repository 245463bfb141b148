"""How far a run is, on a terminal or in a log."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger("usseg")
SECONDS_BETWEEN_LINES = 10


class BlockCount:
    """Images of a run that are done, summed over its blocks; blocks may count from several threads.

    Args:
        done: images of blocks that were finished before.
        total: images of the run.
        show: gets the sum and the total.
    """

    def __init__(self, done: int, total: int, show: Callable[[int, int], None]) -> None:
        self.before, self.total, self.show = done, total, show
        self.of_block: dict[int, int] = {}
        self.lock = threading.Lock()
        show(done, total)

    def count(self, block: range, done: int) -> None:
        """So many of the images of a block are done."""
        with self.lock:
            self.of_block[block.start] = done
            self.show(self.before + sum(self.of_block.values()), self.total)

    def count_part(self, block: range, part: range, done: int, of_part: int) -> None:
        """So many of a part of a block are done; the parts before it are whole."""
        self.count(block, part.start - block.start + done)


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar with rate, elapsed time and time left on a terminal, a log line every few seconds otherwise."""
    started = time.monotonic()
    if not sys.stderr.isatty():
        shown = time.monotonic()

        def line(done: int, total: int) -> None:
            nonlocal shown
            if time.monotonic() - shown > SECONDS_BETWEEN_LINES:
                shown = time.monotonic()
                log.info("%s: %d of %d, after %.0f s", title, done, total, shown - started)

        yield line
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None, rate="")

        def update(done: int, total: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=total, rate=f"{speed:.1f} images/s" if speed else "")

        yield update
