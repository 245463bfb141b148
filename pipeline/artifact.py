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
    """What an array holds. `dtype` may be "str" (utf-8) or several names joined by "|".

    The only axis of a ragged array has the pixels of all images, row by row, one image after the other. It stands beside the
    arrays `start` (as START, which the runner writes) and `size` (height and width).
    """

    axes: tuple[str, ...]
    dtype: str
    doc: str
    fill: float = 0

    @property
    def ragged(self) -> bool:
        """Whether images have as many values as pixels, instead of a row each."""
        return self.axes[0] in RAGGED


START = ArraySpec(
    ("image",), "int64", "where the pixels of the image begin: height x width of them, row by row, belong to it"
)


@dataclass(frozen=True)
class PixelMaps:
    """The maps of a split, each of the size of its image: `maps[i]` is (height, width). No map but that one is read."""

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
    """A published artifact, opened read-only."""

    path: Path
    attrs: Mapping[str, Any]
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        """The array `name`: a zarr array to slice, decoded strings, or `PixelMaps`."""
        import zarr

        if self.attrs["arrays"][name]["dtype"] == "str":
            return read_strings(self.path / name, self.attrs["content"])
        array = zarr.open_array(str(self.path / name), mode="r")
        return (
            PixelMaps(array, self["start"][:], self["size"][:])
            if self.attrs["arrays"][name]["axes"][0] in RAGGED
            else array
        )

    @property
    def params(self) -> dict[str, Any]:
        """The params that made it."""
        return dict(self.attrs["params"])

    @property
    def num_images(self) -> int:
        """How many images its split has."""
        return int(self.attrs["num_images"])

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a function that the producing stage offers, on this artifact; the reading stage declares it in `Input.calls`."""
        assert name in self.functions, f"{name} of {self.attrs['stage']}: not in the calls of the input"
        return self.functions[name](self, *args, **kwargs)


@functools.lru_cache(maxsize=64)
def read_strings(path: Path, content: str) -> list[str]:
    """The strings of an array, decoded once for each content digest of its artifact."""
    import zarr

    rows = np.asarray(zarr.open_array(str(path), mode="r")[:])
    return [bytes(row).rstrip(b"\0").decode() for row in rows]


def artifact_path(project: Path, stage: str, split: str) -> Path:
    """Where the artifact of a stage and split stands."""
    return project / "artifacts" / stage / f"{split}.zarr"


def open_artifact(
    path: Path, *, functions: Mapping[str, Callable[..., Any]] | None = None, remedy: str = REMEDY
) -> Artifact:
    """Open a published artifact. Its attributes are checked; pipeline/integrity.py compares the bytes of its arrays.

    Raises:
        ArtifactError: it is missing, or no artifact of usseg; `remedy` says what to do.
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
    """Whether this is what the attributes say of an array: axes, dtype and doc, all strings."""
    if not isinstance(array, dict) or not isinstance(array.get("axes"), list) or not array["axes"]:
        return False
    return all(isinstance(text, str) for text in (*array["axes"], array.get("dtype"), array.get("doc")))
