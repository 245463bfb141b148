"""The maps of a split, and what an export reads with them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.artifact import PixelMaps
from usseg.pipeline.errors import ArtifactError
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.opening import remedy_for
from usseg.results.export.components import runs_of, without_small
from usseg.results.export.format import Masks, Split
from usseg.results.names import Classes

RESULT = "refine"  # the stage whose maps are exported


@dataclass(frozen=True)
class Source:
    """The maps of a split and what belongs to them.

    Attributes:
        split: the split.
        maps: the label maps of the result.
        inputs: reads the photos.
        classes: the classes of the labels.
        min_area: components with fewer pixels become background.
        grids: `margin` and `grid` of `assign`, `extent` and `offset` of `features`, for the margins.
        upsampling: `refine.upsampling`.
    """

    split: Split
    maps: PixelMaps
    inputs: Inputs
    classes: Classes
    min_area: int
    grids: Mapping[str, Mapping[str, Any]]
    upsampling: str

    def masks(self, i: int) -> tuple[Masks, int, int]:
        """The masks of image `i`, and the number of small components that were dropped, and of their pixels.

        Raises:
            ArtifactError: the map has another size than the image, or a label that no cluster has.
        """
        labels, name = self.maps[i], self.split.ids[i]
        if labels.shape != self.split.sizes[i] or labels.min() < 0 or labels.max() >= len(self.classes.of_label):
            raise ArtifactError(
                f"{RESULT}@{self.split.name}: the map of {name!r} has a size or a label that does not fit; "
                f"{remedy_for(RESULT, self.split.name)}"
            )
        classes, components, pixels = self.classes.of_label[labels], 0, 0
        if self.min_area > 1:
            classes, components, pixels = without_small(classes, self.min_area)
        photo = partial(self.inputs.image, i)
        return Masks(i, name, self.split.paths[i], classes, photo), components, pixels

    def margin(self, i: int) -> npt.NDArray[np.float16]:
        """The margin of the patch under each pixel of image `i`, float16 (height, width) in [0, 1]."""
        return pixel_margin(self.grids, i, self.split.sizes[i], self.upsampling)

    def shares(self, i: int, masks: Masks) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """The pixels of each class of image `i`, and the sum of 1 - margin over them: int64 and float64 (class,).

        The margin is that of `margin`. Here it is summed along runs of one class, so that no map of it is made.
        """
        from usseg.stages.grids.upsampling import upsample_labels

        rows, columns = self.grids["assign"]["grid"][i].tolist()
        extent, offset = (self.grids["features"][name][i].tolist() for name in ("extent", "offset"))
        margin = np.asarray(self.grids["assign"]["margin"][i, : rows * columns], np.float64).reshape(rows, columns)
        picks = []  # the row of patches of each row of pixels, and the column of each column
        for length, cells, covered, first in zip(masks.size, (rows, columns), extent, offset, strict=True):
            numbers: Any = np.arange(cells)[:, None]
            part = (covered, 1) if self.upsampling == "align" else None
            picks.append(upsample_labels(numbers, (length, 1), extent=part, offset=(first, 0))[:, 0])
        sums = np.cumsum(np.pad(1 - margin[:, picks[1]], ((0, 0), (1, 0))), axis=1)
        starts, ends = runs_of(masks.classes)
        width = masks.size[1]
        row, left = picks[0][starts // width], starts % width
        doubts = sums[row, left + ends - starts] - sums[row, left]
        categories = masks.classes.reshape(-1)[starts]
        pixels = np.bincount(categories, ends - starts).astype(np.int64)
        return pixels, np.maximum(np.bincount(categories, doubts), 0)


def pixel_margin(grids: Mapping[str, Any], i: int, size: tuple[int, int], upsampling: str) -> npt.NDArray[np.float16]:
    """The margin of the patch under each pixel of an image.

    Args:
        grids: as in `Source`, or the artifacts of `assign` and `features`.
        i: the image.
        size: its height and width.
        upsampling: `refine.upsampling`.

    Returns:
        float16 (height, width) in [0, 1].
    """
    from usseg.stages.grids.upsampling import upsample_labels

    rows, columns = grids["assign"]["grid"][i].tolist()
    (height, width), (top, left) = (grids["features"][name][i].tolist() for name in ("extent", "offset"))
    margin: Any = grids["assign"]["margin"][i, : rows * columns].reshape(rows, columns)
    extent = (height, width) if upsampling == "align" else None
    found: Any = upsample_labels(margin, size, extent=extent, offset=(top, left))
    return found
