"""Progress of a run, on a terminal or in a log."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger("usseg")
SECONDS_BETWEEN_LINES = 10


class BlockCount:
    """Count of the finished images of a run, summed over its blocks. It is safe to use from several threads.

    Args:
        done: number of images in blocks that an interrupted run has finished.
        total: number of images of the run.
        show: called with the number of finished images and the total.
    """

    def __init__(self, done: int, total: int, show: Callable[[int, int], None]) -> None:
        self.before, self.total, self.show = done, total, show
        self.of_block: dict[int, int] = {}
        self.lock = threading.Lock()
        show(done, total)

    def count(self, block: range, done: int) -> None:
        """Set the number of finished images of a block."""
        with self.lock:
            self.of_block[block.start] = done
            self.show(self.before + sum(self.of_block.values()), self.total)

    def count_part(self, block: range, part: range, done: int, of_part: int) -> None:
        """Set the number of finished images of a part of a block. All earlier parts are finished."""
        self.count(block, part.start - block.start + done)


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show progress: a bar on a terminal, otherwise a log line every SECONDS_BETWEEN_LINES seconds."""
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
