"""The concepts that a trained generator finds in the image (ACSeg); stage segmenter trains it."""

import numpy as np
import numpy.typing as npt

from usseg.pipeline.methods import NoOptions, on_device
from usseg.stages.segments.method import ImageTokens, SegmentsMethod


def reads_segmenter(options: NoOptions) -> tuple[str, ...]:
    """The trained generator."""
    return ("segmenter",)


def segment(tokens: ImageTokens, options: NoOptions) -> npt.NDArray[np.int64]:
    """Labels (row, column) of concepts; those without tokens are left out."""
    return tokens.trained_labels.reshape(tokens.grid)


METHOD = SegmentsMethod(
    summary="The concepts that a trained generator finds in each image (ACSeg).",
    call=segment,
    reads=reads_segmenter,
    gpu=on_device,
    source="Li et al., ACSeg (CVPR 2023)",
)
