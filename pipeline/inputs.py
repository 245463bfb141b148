"""Inputs of `Stage.run`: the declared artifacts, and the image and label files that the index lists."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.artifact import Artifact
from usseg.pipeline.errors import ImageError
from usseg.pipeline.files import current_checksum
from usseg.pipeline.images import read_image
from usseg.pipeline.label_values import LabelValues
from usseg.pipeline.params import refused
from usseg.pipeline.truth import Truth, read_truth


@dataclass(frozen=True)
class Inputs:
    """The artifacts that a stage reads, and the files that the index lists.

    Attributes:
        split: the split that the stage is run for.
        artifacts: producing stage -> artifact, or a dict split -> artifact for an input with split="all".
        index_params: the section `index` of params.yaml.
        project: the project folder.
        compare: compare the checksum of every file that is read with the index.
    """

    split: str
    artifacts: Mapping[str, Any]
    index_params: Mapping[str, Any]
    project: Path
    compare: bool = False

    def __getitem__(self, stage: str) -> Any:
        """The artifact of a stage; a dict split -> artifact if the input is declared with split="all"."""
        return self.artifacts[stage]

    def image(self, i: int, split: str | None = None) -> npt.NDArray[np.uint8]:
        """Image `i` of the split as upright RGB, uint8 (height, width, 3).

        Raises:
            ImageError: the file is missing, unreadable, or has changed since the index was made.
        """
        return read_image(self.unchanged(i, "path", "checksum", split))

    def truth(self, i: int, split: str | None = None) -> Truth | None:
        """The ground truth of image `i`; None if the image has none.

        In a label image, -1 marks pixels that are never scored.

        Raises:
            ImageError: the file is missing, unreadable, or has changed since the index was made.
        """
        index = self.index(split)
        label = str(index["label_path"][i])
        if not label:
            return None
        self.unchanged(i, "label_path", "label_checksum", split)
        height, width = index["size"][i].tolist()
        return read_truth(self.root, label, str(index["path"][i]), (height, width), LabelValues.of(self.index_params))

    @property
    def root(self) -> Path:
        """The folder to which the paths of the index are relative.

        Raises:
            ParamsError: `index.root` is not a folder.
        """
        root = self.project / os.path.expanduser(str(self.index_params["root"]))
        if not root.is_dir():
            raise refused(
                "index.root", self.index_params["root"], f"{root} is no folder; name the one that holds the images"
            )
        return root

    def file(self, i: int, array: str, split: str | None) -> Path:
        """Path of the file that the index lists for image `i` in an array of paths."""
        return self.root / str(self.index(split)[array][i])

    def index(self, split: str | None) -> Artifact:
        """The index of a split; None: the index of the split that the stage is run for."""
        index: Artifact = self.artifacts["index"] if split is None else self.artifacts["index"][split]
        return index

    def unchanged(self, i: int, array: str, checksum: str, split: str | None) -> Path:
        """Path of the file that the index lists for image `i`, after a check of its checksum.

        Raises:
            ImageError: the file is missing, or has changed since the index was made.
        """
        path = self.file(i, array, split)
        if self.compare:
            remedy = f"run: usseg stage index --split {split or self.split}"
            try:
                current = current_checksum(path)
            except FileNotFoundError:
                raise ImageError(f"{path}: no such file, but index has listed it; {remedy}") from None
            if current != self.index(split)[checksum][i]:
                raise ImageError(f"{path} has changed since index; {remedy}")
        return path
