"""How to run a stage, never what to compute."""

from collections.abc import Callable
from dataclasses import dataclass

from usseg.pipeline.checkpoint import NO_CHECKPOINT, Checkpoint

Progress = Callable[[int, int], None]  # gets how much is done, and of how much


def no_progress(done: int, total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Execution:
    """How to run: nothing in here changes a result.

    `device` is used by the stages that compute on one. 0 workers means one a core, or one a GPU. `run` calls `progress` with
    the number of finished images and the number of all images, after each image or batch.
    """

    device: str = "cpu"
    batch_size: int = 8
    workers: int = 1
    scheduler: str | None = None
    progress: Progress = no_progress
    checkpoint: Checkpoint = NO_CHECKPOINT

    @property
    def decoders(self) -> int:
        """Threads that decode images ahead. On a CPU the workers fill the cores; a GPU must not wait for an image."""
        return 1 if self.device == "cpu" else 4
