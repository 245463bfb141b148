"""Artifacts: one zarr v3 group per stage and split, opened read-only and checked against the schema of usseg."""

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.errors import ArtifactError

RAGGED = ("pixel", "soft_pixel")
GROUP = "zarr.json"  # the file with the attributes
ATTRIBUTES = {
    **{"stage": str, "version": int, "split": str, "params": dict, "num_images": int, "arrays": dict},
    **{"files": dict, "content": str, "digest": str},
}
REMEDY = "remove it and run its stage again"


@dataclass(frozen=True)
class ArraySpec:
    """Declaration of one array of an artifact.

    A ragged array has one axis: the pixels of all images, row by row, one image after the other. Its artifact also
    holds `start` (see START; the runner writes it) and `size` (height and width of each image).

    Attributes:
        axes: the name of each axis, in order.
        dtype: a NumPy dtype, "str" (stored as UTF-8), or alternatives joined by "|".
        doc: the meaning of the values, with range and units.
        fill: the fill value; chunks that hold nothing else are not stored.
    """

    axes: tuple[str, ...]
    dtype: str
    doc: str
    fill: float = 0

    @property
    def ragged(self) -> bool:
        """Whether each image has one value per pixel, instead of one row."""
        return self.axes[0] in RAGGED


# The text of START is stored in artifacts: a change of it changes their bytes.
START = ArraySpec(
    ("image",), "int64", "where the pixels of the image begin: height x width of them, row by row, belong to it"
)


@dataclass(frozen=True)
class PixelMaps:
    """The pixel maps of a split:

    `maps[i]` is (height, width), the size of image `i`. Only the requested map is read.
    """

    pixels: Any  # zarr (pixel,)
    starts: npt.NDArray[np.int64]  # (image,)
    sizes: npt.NDArray[np.int32]  # (image, 2)

    def __len__(self) -> int:
        return len(self.starts) if self.pixels.shape[0] else 0

    def __getitem__(self, i: int) -> npt.NDArray[Any]:
        if i >= len(self):
            raise IndexError(f"map {i} of {len(self)}")
        start, (height, width) = int(self.starts[i]), self.sizes[i].tolist()
        return np.asarray(self.pixels[start : start + height * width]).reshape(height, width)


@dataclass(frozen=True)
class Artifact:
    """A published artifact, opened read-only.

    Attributes:
        path: its zarr group.
        attrs: its attributes, as `ATTRIBUTES` lists them.
        functions: the offers of the producing stage that the reading stage may call, by name.
    """

    path: Path
    attrs: Mapping[str, Any]
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        """The array `name`: a zarr array to slice, a list of strings, or `PixelMaps` where the array is ragged."""
        import zarr

        if self.attrs["arrays"][name]["dtype"] == "str":
            return read_strings(self.path / name, self.attrs["content"])
        array = zarr.open_array(str(self.path / name), mode="r")
        if self.attrs["arrays"][name]["axes"][0] in RAGGED:
            return PixelMaps(array, self["start"][:], self["size"][:])
        return array

    @property
    def params(self) -> dict[str, Any]:
        """The params that the artifact was made with."""
        return dict(self.attrs["params"])

    @property
    def num_images(self) -> int:
        """Number of images in the split."""
        return int(self.attrs["num_images"])

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call an offer of the producing stage on this artifact.

        The reading stage declares the offer in `Input.calls`.
        """
        assert name in self.functions, f"{name} of {self.attrs['stage']}: not in the calls of the input"
        return self.functions[name](self, *args, **kwargs)


@functools.lru_cache(maxsize=64)
def read_strings(path: Path, content: str) -> list[str]:
    """Decode an array of strings. The result is cached by path and content digest of the artifact."""
    import zarr

    rows = np.asarray(zarr.open_array(str(path), mode="r")[:])
    return [bytes(row).rstrip(b"\0").decode() for row in rows]


def artifact_path(project: Path, stage: str, split: str) -> Path:
    """Path of the artifact of a stage and split."""
    return project / "artifacts" / stage / f"{split}.zarr"


def open_artifact(
    path: Path, *, functions: Mapping[str, Callable[..., Any]] | None = None, remedy: str = REMEDY
) -> Artifact:
    """Open a published artifact and check its attributes.

    `integrity.verify_artifact` also compares the bytes of its arrays.

    Args:
        path: the zarr group.
        functions: the offers that may be called on it.
        remedy: the end of an error message: what the user can do.

    Raises:
        ArtifactError: the artifact is missing, damaged, or not written by usseg.
    """
    damaged = f"{path}: its {GROUP} is damaged; {remedy}"
    try:
        content = json.loads((path / GROUP).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        more = f": it has no {GROUP}; {remedy}" if path.exists() and path.suffix == ".zarr" else ""
        raise ArtifactError(f"no artifact at {path}{more}") from None
    except (OSError, ValueError, RecursionError):
        raise ArtifactError(damaged) from None
    try:
        attrs = content["attributes"]["usseg"]
    except (LookupError, TypeError):
        raise ArtifactError(f"{path} is not an artifact of usseg; {REMEDY}") from None
    if not isinstance(attrs, dict) or not all(isinstance(attrs.get(key), kind) for key, kind in ATTRIBUTES.items()):
        raise ArtifactError(damaged)
    if not all(map(is_description, attrs["arrays"].values())):
        raise ArtifactError(damaged)
    return Artifact(path, attrs, functions or {})


def is_description(array: Any) -> bool:
    """Whether a value describes an array: a dict with `axes` (a list of strings), `dtype` and `doc` (strings)."""
    if not isinstance(array, dict) or not isinstance(array.get("axes"), list) or not array["axes"]:
        return False
    return all(isinstance(text, str) for text in (*array["axes"], array.get("dtype"), array.get("doc")))
