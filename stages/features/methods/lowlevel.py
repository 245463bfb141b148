"""The embedded descriptor of colour, texture and position, which needs no download."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.params import Params
from usseg.stages.features.fitting import extended
from usseg.stages.features.method import F32, Backbone, BackboneMethod, Pixels


class Options(Params):
    """Options of backbone `lowlevel`."""

    stride: int = Field(4, ge=1, le=256, description="side of a patch, pixels")


@dataclass(frozen=True)
class Lowlevel(Backbone):
    """The descriptor at a stride. An image is padded by repeating its last row and column."""

    patch: int
    channels: int
    crop_channels: int

    def describe(self, images: Sequence[Pixels], grid: tuple[int, int], dtype: str) -> Mapping[str, F32]:
        """The descriptors of the patches. `cls` is their mean."""
        from usseg.stages.features import descriptors

        size = (grid[0] * self.patch, grid[1] * self.patch)
        grids = [descriptors.describe(extended(image, size), stride=self.patch) for image in images]
        stacked = np.stack([grid.reshape(-1, grid.shape[2]) for grid in grids])
        return {"patches": stacked, "cls": stacked.mean(axis=1)}

    def embed_crops(
        self,
        image: Pixels,
        grid: tuple[int, int],
        boxes: npt.NDArray[np.int32],
        masks: Sequence[npt.NDArray[np.bool_]] | None,
    ) -> F32:
        """The mean of the balanced descriptors in each box, or in each mask."""
        from usseg.stages.features import descriptors

        covered = extended(image, (grid[0] * self.patch, grid[1] * self.patch))
        return descriptors.embed_crops(covered, boxes * self.patch, masks, stride=self.patch)


def load(options: Options, project: Path, device: str) -> Lowlevel:
    """The backbone of the options. Nothing is read or downloaded."""
    from usseg.stages.features import descriptors

    return Lowlevel(options.stride, descriptors.channels(), descriptors.crop_channels())


METHOD = BackboneMethod(
    summary="Colour, texture and position of patches by hand-made rules; nothing to download.",
    call=load,
    options=Options,
    source="this project",
)
