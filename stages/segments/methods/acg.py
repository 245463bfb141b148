"""The concepts that a trained generator finds in the image (ACSeg); the model stage trains it."""

import numpy as np
import numpy.typing as npt

from usseg.pipeline.params import Params
from usseg.stages.segments.tokens import ImageTokens

EIGENVECTORS = False
MODEL = True
OBJECTS = False
PAIR_BYTES = 0


class Options(Params):
    """Method `acg` has none: they are the model's."""


def segment(tokens: ImageTokens, options: Options) -> npt.NDArray[np.int64]:
    """Labels (row, column) of concepts; those without tokens are left out."""
    return tokens.model_labels.reshape(tokens.grid)
