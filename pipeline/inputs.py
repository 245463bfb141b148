"""What a stage's `run` gets: the artifacts that it declared, and the pixels and labels behind the index."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.artifact import Artifact
from usseg.pipeline.errors import ImageError
from usseg.pipeline.images import current_checksum, read_image
from usseg.pipeline.label_values import LabelValues
from usseg.pipeline.params import refused
from usseg.pipeline.truth import Truth, read_truth


@dataclass(frozen=True)
class Inputs:
    """The artifacts that a stage reads, by the producing stage's name, and the files behind the index."""

    split: str
    artifacts: Mapping[str, Any]
    index_params: Mapping[str, Any]
    project: Path
    compare: bool = False  # every file that is read with its checksum in the index

    def __getitem__(self, stage: str) -> Any:
        """The input artifact; a dict split -> artifact where it was declared with split="all"."""
        return self.artifacts[stage]

    def image(self, i: int, split: str | None = None) -> npt.NDArray[np.uint8]:
        """Image `i` of the split as uint8 RGB (height, width, 3), upright."""
        return read_image(self.unchanged(i, "path", "checksum", split))

    def truth(self, i: int, split: str | None = None) -> Truth | None:
        """What is known of image `i`: in a label image -1 where a pixel is never scored; None where nothing is known."""
        index = self.index(split)
        label = str(index["label_path"][i])
        if not label:
            return None
        self.unchanged(i, "label_path", "label_checksum", split)
        height, width = index["size"][i].tolist()
        return read_truth(self.root, label, str(index["path"][i]), (height, width), LabelValues.of(self.index_params))

    @property
    def root(self) -> Path:
        """The folder that the index's paths are relative to.

        Raises:
            ParamsError: it is no folder.
        """
        root = self.project / os.path.expanduser(str(self.index_params["root"]))
        if not root.is_dir():
            raise refused(
                "index.root", self.index_params["root"], f"{root} is no folder; name the one that holds the images"
            )
        return root

    def file(self, i: int, array: str, split: str | None) -> Path:
        """The file that the index names for image `i`."""
        return self.root / str(self.index(split)[array][i])

    def index(self, split: str | None) -> Artifact:
        """The index of a split, or of the only one."""
        index: Artifact = self.artifacts["index"] if split is None else self.artifacts["index"][split]
        return index

    def unchanged(self, i: int, array: str, checksum: str, split: str | None) -> Path:
        """The file that the index names for image `i`.

        Raises:
            ImageError: the file is missing, or it is not the one that the index has listed.
        """
        path = self.file(i, array, split)
        if self.compare:
            remedy = f"run: usseg stage index --split {split or self.split}"
            try:
                found = current_checksum(path)
            except FileNotFoundError:
                raise ImageError(f"{path}: no such file, but index has listed it; {remedy}") from None
            if found != self.index(split)[checksum][i]:
                raise ImageError(f"{path} has changed since index; {remedy}")
        return path
