"""Execution of a stage: device, workers, progress. Nothing in this file changes a result."""

from collections.abc import Callable
from dataclasses import dataclass

from usseg.pipeline.checkpoint import NO_CHECKPOINT, Checkpoint

Progress = Callable[[int, int], None]  # is called with the number of finished images, and of all images


def no_progress(done: int, total: int) -> None:
    """Show no progress."""


@dataclass(frozen=True)
class Execution:
    """How to run a stage.

    Attributes:
        device: "cpu", "cuda:0", ...; stages that do not compute on a device ignore it.
        batch_size: images of a forward pass.
        workers: processes; 0: one for each core, or one on a GPU.
        scheduler: the address of a running Dask cluster; None: workers of this machine.
        progress: called by `run` after each image or batch.
        checkpoint: saved state from which an interrupted whole-split stage resumes.
    """

    device: str = "cpu"
    batch_size: int = 8
    workers: int = 1
    scheduler: str | None = None
    progress: Progress = no_progress
    checkpoint: Checkpoint = NO_CHECKPOINT

    @property
    def decoders(self) -> int:
        """Threads that decode images in advance:

        1 on a CPU, where workers use all cores; 4 on a GPU, which must not wait.
        """
        return 1 if self.device == "cpu" else 4
