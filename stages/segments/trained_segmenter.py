"""What the methods have in common that take the labels of a trained segmenter."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.params import refused
from usseg.stages.segments.method import ImageTokens


def reads_segmenter(options: Any) -> tuple[str, ...]:
    """Stage segmenter, which holds the trained network."""
    return ("segmenter",)


def trained_labels(tokens: ImageTokens, options: Any) -> npt.NDArray[np.int64]:
    """The label of each token by the trained network: int64 (row, column). A label without tokens does not occur."""
    return tokens.trained_labels.reshape(tokens.grid)


def needs(segmenter: str) -> Callable[[Any, Mapping[str, Any]], None]:
    """The check of a method whose labels are those of one segmenter.

    Args:
        segmenter: the needed value of `segmenter.method`, which is also the name of the method of segments.
    """

    def check(options: Any, sections: Mapping[str, Any]) -> None:
        """Refuse another segmenter.

        Raises:
            ParamsError: names the key and its value.
        """
        found = sections["segmenter"].method
        if found != segmenter:
            raise refused("segmenter.method", found, f"segments.method: {segmenter} needs {segmenter} here too")

    return check
