"""The maps of a split, and what an export reads with them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.artifact import Artifact, PixelMaps
from usseg.pipeline.errors import ArtifactError
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.opening import remedy_for
from usseg.results.export.format import Masks, Split, without_small
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
        grids: the artifacts of `assign` and `features`, for the margins.
        upsampling: `refine.upsampling`.
    """

    split: Split
    maps: PixelMaps
    inputs: Inputs
    classes: Classes
    min_area: int
    grids: Mapping[str, Artifact]
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
        from usseg.stages.grids.upsampling import upsample_labels

        rows, columns = self.grids["assign"]["grid"][i].tolist()
        (height, width), (top, left) = (self.grids["features"][name][i].tolist() for name in ("extent", "offset"))
        margin: Any = self.grids["assign"]["margin"][i, : rows * columns].reshape(rows, columns)
        extent = (height, width) if self.upsampling == "align" else None
        found: Any = upsample_labels(margin, self.split.sizes[i], extent=extent, offset=(top, left))
        return found
