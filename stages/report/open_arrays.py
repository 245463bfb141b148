"""Arrays of a split that are opened once for many images: to open one takes longer than to read a row of it."""

from typing import Any

from usseg.pipeline.inputs import Inputs

SMALL = 1 << 20  # bytes; a smaller array is read as a whole


class OpenArrays:
    """The arrays of all inputs for one split.

    Args:
        inputs: the inputs of the stage.
        split: the split.
    """

    def __init__(self, inputs: Inputs, split: str) -> None:
        self.inputs, self.split = inputs, split
        self.opened: dict[tuple[str, str], Any] = {}

    def has(self, stage: str) -> bool:
        """Whether the stage is among the inputs."""
        return stage in self.inputs.artifacts

    def __call__(self, stage: str, name: str) -> Any:
        """The array `name` of the artifact of a stage.

        A small array is in memory. A large one is read by row, and pixel maps by image.
        """
        if (stage, name) not in self.opened:
            array = self.inputs[stage][self.split][name]
            small = getattr(array, "nbytes", SMALL + 1) <= SMALL
            self.opened[stage, name] = array[:] if small else array
        return self.opened[stage, name]
