"""What a method that embeds segments gets, and what it returns. Read this before you write one.

Letters: h rows and w columns of tokens, N = h x w tokens, S segments, C channels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.artifact import Artifact
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.methods import Method
from usseg.pipeline.params import Params

F32 = npt.NDArray[np.float32]
Masks = Sequence[npt.NDArray[np.bool_]]


class BoxOptions(Params):
    """Options of every method. They define the boxes, which the artifact contains for every method."""

    erode: int = Field(2, ge=0, le=256, description="erosion steps of a segment before its box is computed")
    dilate: int = Field(5, ge=0, le=256, description="dilation steps after the erosion")


@dataclass(frozen=True)
class ImageSegments:
    """One image with N tokens and S segments, S at least 1.

    Attributes:
        labels: int (h, w), the segment of each token: 0 for the background, then 1 to S. Each of 1 to S occurs.
        boxes: int32 (S, 4) in tokens: xmin, ymin, xmax, ymax, half open, the box of each mask.
        masks: bool (row, column), the tokens of each box that belong to the eroded and dilated segment.
        image: uint8 RGB (height, width, 3) at native size; None for a method that reads no pixels.
        features: the artifact of stage features.
        row: row of the image in that artifact.
        project: the project folder.
        device: a torch device.
    """

    labels: npt.NDArray[np.integer]
    boxes: npt.NDArray[np.int32]
    masks: Masks
    image: npt.NDArray[np.uint8] | None
    features: Artifact
    row: int
    project: Path
    device: str

    def patches(self) -> npt.NDArray[np.floating]:
        """The features of the tokens: floats (N, C), in row-major order."""
        tokens: npt.NDArray[np.floating] = self.features["patches"][self.row, : self.labels.size]
        return tokens

    def embed_crops(self, masks: Masks | None = None) -> F32:
        """The backbone's features of each box, or of each mask in its box: float32 (S, `crop_channels`).

        Only for a method with `pixels`.
        """
        assert self.image is not None
        settings: Any = {"project": self.project, "device": self.device}
        embedded: F32 = self.features.call("embed_crops", self.image, self.boxes, masks, **settings)
        return embedded

    def embed_segments(self) -> F32:
        """The backbone's features of each segment within the whole image: float32 (S, `crop_channels`).

        Only with `features.options.attention: true`.
        """
        settings: Any = {"project": self.project, "device": self.device}
        labels = self.labels.reshape(-1)
        embedded: F32 = self.features.call("embed_segments", self.row, labels, len(self.boxes), **settings)
        return embedded


def crop_channels(options: Any, inputs: Inputs) -> int:
    """The number of channels of the backbone's features of a segment."""
    return int(inputs["features"].call("crop_channels", project=inputs.project))


@dataclass(frozen=True)
class CropsMethod(Method):
    """The entry of a method that embeds segments.

    `call(segments, options)` returns float32 (S, channel), finite. Row s is segment s + 1.

    Attributes:
        options: a subclass of `BoxOptions`.
        channels: from the options and the stage's inputs, the number of channels of a segment.
        pixels: the method reads the image. Otherwise the image is not decoded, and `ImageSegments.image` is None.
        backbone: the method calls the backbone, which may compute on the execution's device.
    """

    call: Callable[[ImageSegments, Any], F32]
    options: type[Params] = BoxOptions
    channels: Callable[[Any, Inputs], int] = crop_channels
    pixels: bool = False
    backbone: bool = True
