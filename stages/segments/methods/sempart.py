"""One object: the coarse mask of a trained Sempart. Stage segmenter trains the network."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.methods import NoOptions, on_device
from usseg.pipeline.params import refused
from usseg.stages.segments.method import ImageTokens, SegmentsMethod


def check(options: NoOptions, sections: Mapping[str, Any]) -> None:
    """Refuse another segmenter.

    Raises:
        ParamsError: `segmenter.method` is not sempart.
    """
    method = sections["segmenter"].method
    if method != "sempart":
        raise refused("segmenter.method", method, "segments.method: sempart needs sempart here too")


def reads_segmenter(options: NoOptions) -> tuple[str, ...]:
    """Stage segmenter, which holds the trained network."""
    return ("segmenter",)


def segment(tokens: ImageTokens, options: NoOptions) -> npt.NDArray[np.int64]:
    """1 for the object, 0 elsewhere: int64 (row, column)."""
    return tokens.trained_labels.reshape(tokens.grid)


METHOD = SegmentsMethod(
    summary="One object: the coarse mask of the trained head of Sempart.",
    call=segment,
    reads=reads_segmenter,
    gpu=on_device,
    check=check,
    objects=True,
    source="Sempart (ICCV 2023) as re-implemented in Two Tricks, appendix A",
)
