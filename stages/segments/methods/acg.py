"""The concepts that a trained concept generator finds in the image (ACSeg). Stage segmenter trains the generator."""

import numpy as np
import numpy.typing as npt

from usseg.pipeline.methods import NoOptions, on_device
from usseg.stages.segments.method import ImageTokens, SegmentsMethod


def reads_segmenter(options: NoOptions) -> tuple[str, ...]:
    """Stage segmenter, which holds the trained generator."""
    return ("segmenter",)


def segment(tokens: ImageTokens, options: NoOptions) -> npt.NDArray[np.int64]:
    """The concept of each token: int64 (row, column). A concept without tokens does not occur."""
    return tokens.trained_labels.reshape(tokens.grid)


METHOD = SegmentsMethod(
    summary="The concepts that a trained concept generator finds in each image (ACSeg).",
    call=segment,
    reads=reads_segmenter,
    gpu=on_device,
    source="Li et al., ACSeg (CVPR 2023)",
)
