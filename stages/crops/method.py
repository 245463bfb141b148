"""What a method to embed segments gets, and what it returns: read this before you write one."""

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
    """Options of every method: they decide the boxes, which the artifact holds whatever the method."""

    erode: int = Field(2, ge=0, le=256, description="erosion steps of a segment before its box is drawn")
    dilate: int = Field(5, ge=0, le=256, description="dilation steps after")


@dataclass(frozen=True)
class ImageSegments:
    """One image with h x w = N tokens and S segments, at least one.

    Attributes:
        labels: int (h, w), segment of each token: 0 background, then 1 to S, each of which occurs.
        boxes: int32 (S, 4) in tokens: xmin, ymin, xmax, ymax, half open, around each mask.
        masks: bool (row, column), the tokens of each box that belong to the eroded and dilated segment.
        image: uint8 RGB (height, width, 3), native size; None for a method that reads no pixels.
        features: the artifact of stage features.
        row: the image's row in it.
        project: the project folder.
        device: where to compute.
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
        """The features of the tokens, floats (N, C), row by row."""
        tokens: npt.NDArray[np.floating] = self.features["patches"][self.row, : self.labels.size]
        return tokens

    def embed_crops(self, masks: Masks | None = None) -> F32:
        """What the backbone says of each box, or of each mask on its box: (S, `crop_channels`). It needs `pixels`."""
        assert self.image is not None
        where: Any = {"project": self.project, "device": self.device}
        found: F32 = self.features.call("embed_crops", self.image, self.boxes, masks, **where)
        return found

    def embed_segments(self) -> F32:
        """What the backbone says of each segment within the whole image: (S, `crop_channels`).

        It needs an `attention: true` among the options of the features.
        """
        where: Any = {"project": self.project, "device": self.device}
        labels = self.labels.reshape(-1)
        found: F32 = self.features.call("embed_segments", self.row, labels, len(self.boxes), **where)
        return found


def crop_channels(options: Any, inputs: Inputs) -> int:
    """The length of what the backbone says of a segment."""
    return int(inputs["features"].call("crop_channels", project=inputs.project))


@dataclass(frozen=True)
class CropsMethod(Method):
    """The entry of a method to embed segments.

    `call(segments, options)` returns finite float32 (S, channel): row s is segment s + 1.

    Attributes:
        options: a subclass of `BoxOptions`.
        channels: from the options and the stage's inputs, the length of a segment's vector.
        pixels: the method reads the image. Otherwise it is not decoded, and the attribute `image` of its segments is
            None.
        backbone: the method calls the backbone, on the device where the backbone uses one.
    """

    call: Callable[[ImageSegments, Any], F32]
    options: type[Params] = BoxOptions
    channels: Callable[[Any, Inputs], int] = crop_channels
    pixels: bool = False
    backbone: bool = True
