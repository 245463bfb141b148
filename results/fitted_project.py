"""A saved project in Python: `usseg.load("meadow.usseg").segment(image)`."""

import weakref
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from usseg.pipeline.artifact import Artifact, artifact_path, open_artifact
from usseg.pipeline.errors import ImageError
from usseg.pipeline.execution import Execution
from usseg.pipeline.images import check_header, read_image
from usseg.pipeline.machine import resolve_device
from usseg.pipeline.project import INDEX
from usseg.pipeline.single_image import run_on_image
from usseg.results.applied_stages import applied_stages
from usseg.results.export.source import RESULT, pixel_margin
from usseg.results.names import clustering_of, read_names
from usseg.results.project_file import read_project_file
from usseg.results.saved_project import check_network, new_split, unpacked, warn_of_other_code
from usseg.stages import STAGES
from usseg.stages.index.globs import nfc

READER = "usseg.load"


class Segmentation(NamedTuple):
    """The segmentation of one image.

    Attributes:
        labels: int16 (height, width): the label of each pixel. 0 is the background, clusters have labels from 1 on.
        scores: float16 (height, width), in [0, 1]: how clearly the token below each pixel belongs to its cluster, as
            `margin` of stage assign; 1 for the background. None if the labels are segments, not clusters.
    """

    labels: npt.NDArray[np.int16]
    scores: npt.NDArray[np.float16] | None


class FittedProject:
    """A project that `usseg save` wrote, ready for new images. It needs no project folder.

    Attributes:
        names: label -> name, for the labels that `usseg name` named.
    """

    names: Mapping[int, str]

    def __init__(self, path: str | PathLike[str], *, weights: str | PathLike[str] | None = None) -> None:
        """Read a file; see `usseg.load`."""
        self.path = Path(path)
        folder = TemporaryDirectory(prefix="usseg-")
        self._finalizer = weakref.finalize(self, folder.cleanup)
        file, place = read_project_file(self.path, STAGES), Path(folder.name)
        given = None if weights is None else Path(weights)
        self._project = unpacked(file, place, place, reader=READER, weights=given)
        warn_of_other_code(file, self._project)
        check_network(file, self._project)
        self._stages = applied_stages(self._project)
        self._fitted: dict[str, Artifact] = {
            name: open_artifact(artifact_path(self._project.root, name, self._project.fit_split))
            for name in self._stages.fitted
        }
        clusters = "cluster" in self._fitted
        self.names = read_names(self._project.root, clustering_of(self._project, READER)) if clusters else {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def segment(
        self, image: str | PathLike[str] | npt.NDArray[np.uint8], *, name: str | None = None, device: str = "auto"
    ) -> Segmentation:
        """Segment one image. The labels are those that the image would have in a split of the project.

        Args:
            image: the path of an image file, or uint8 RGB (height, width, 3), upright, at native size.
            name: the id of the image in a split. It matters only to methods of `segments` that draw random numbers for
                each image. None: the name of the file without suffix; empty for an array.
            device: auto, cpu, cuda or cuda:N.

        Raises:
            ImageError: the file cannot be read, or the array has another dtype or shape.
            ParamsError: the image does not suit the params, for example because it has too few pixels.
        """
        if isinstance(image, np.ndarray):
            pixels, known = image, ""
            if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
                raise ImageError(f"found {pixels.dtype} {pixels.shape}; uint8 RGB (height, width, 3) is needed")
        else:
            check_header(Path(image), self._project.index_params["max_pixels"])
            pixels, known = read_image(Path(image)), nfc(Path(image).stem)
        held = run_on_image(
            self._project,
            [each for each in self._stages.applied if each != INDEX],
            new_split(self._project),
            pixels,
            name=known if name is None else name,
            fitted=self._fitted,
            execution=Execution(resolve_device(device)),
        )
        labels: npt.NDArray[np.int16] = held[RESULT]["maps"][0]
        if "assign" not in held:
            return Segmentation(labels, None)
        size, upsampling = (labels.shape[0], labels.shape[1]), held[RESULT].params["upsampling"]
        return Segmentation(labels, pixel_margin(held, 0, size, upsampling))
