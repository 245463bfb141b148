"""Finished projects to spoil, and what may come of it: one line that names the place, or a right result.

A case is a seed. It draws one mutation, which a failure tells; `pytest tests/fuzz/test_images.py -k "[17]"` runs it
alone.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from usseg.pipeline.errors import UssegError

SETTINGS = {
    "index.root": "data",
    "index.splits": {
        "train": {"images": "images/train/*", "labels": "labels/train/*"},
        "val": {"images": "images/val/*", "labels": "labels/val/*"},
    },
    "index.classes": ["left", "right"],
    "features.options.stride": 8,
    "eigen.k": 4,
    "segments.num_segments": 3,
    "crops.method": "mean",
    "cluster.k": 2,
    "refine.method": "none",
    "report.max_images": 2,
    "report.max_segments": 3,
}
OBJECTS = {
    "segments.method": "tokencut",
    "segments.background": "border",
    "refine.source": "segments",
    "evaluate.method": "objects",
}
CLASS_CHAIN = ("index", "features", "eigen", "segments", "crops", "cluster", "assign", "refine", "evaluate", "report")
OBJECT_CHAIN = ("index", "features", "segments", "refine", "evaluate")
HEIGHT, WIDTH = 32, 40


def spoil_bytes(content: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Other bytes, and what was done to them."""
    size = max(1, len(content))
    start, stop = sorted(int(place) for place in rng.integers(0, size, 2))
    noise = rng.bytes(int(rng.integers(1, 40)))
    flipped = bytearray(content)
    for place in rng.integers(0, size, int(rng.integers(1, 4))) if content else ():
        flipped[place] ^= 1 << int(rng.integers(8))
    options = {
        "flipped bits": bytes(flipped),
        f"cut after {start} of {len(content)}": content[:start],
        f"without its last {min(len(noise), size)}": content[: -len(noise)],
        f"zeros from {start} to {stop}": content[:start] + bytes(stop - start) + content[stop:],
        f"without {start} to {stop}": content[:start] + content[stop:],
        f"{start} to {stop} twice": content[:stop] + content[start:],
        f"{len(noise)} random bytes at {start}": content[:start] + noise + content[start:],
        "empty": b"",
        "random bytes": noise,
        "a web page": b"<html>\n404 not found\n</html>",
        "JSON": b'{"a": [1, null]}',
    }
    names = list(options)
    name = names[int(rng.choice(len(names), p=[0.3, *[0.7 / (len(names) - 1)] * (len(names) - 1)]))]
    return options[name], name


def attempted(action: Callable[[], object], *names: str) -> str | None:
    """Do it. Returns None, or the message of an error of usseg: one line with one of the names in it."""
    try:
        action()
    except UssegError as error:
        message = str(error)
        assert "\n" not in message, message
        assert "Traceback" not in message, message
        assert len(message) < 1500, message
        assert any(name in message for name in names), f"names none of {names}: {message}"
        return message
    return None


def finite(artifact: Any) -> bool:
    """Whether every number of an artifact can be read and is finite."""
    import zarr

    numbers = [name for name, spec in artifact.attrs["arrays"].items() if spec["dtype"] != "str"]
    arrays = (np.asarray(zarr.open_array(str(artifact.path / name), mode="r")[:]) for name in numbers)
    return all(bool(np.isfinite(array).all()) for array in arrays)


def finished_project(folder: Path, copied: Callable[[Path, Path], Any], edits: dict[str, Any], *stages: str) -> Path:
    """A project of five images in two splits, after these stages."""
    from PIL import Image

    truth = np.zeros((HEIGHT, WIDTH), np.uint8)
    truth[8:28, 16:36] = 1
    truth[:2] = 255
    for split, count in (("train", 3), ("val", 2)):
        for kind in ("images", "labels"):
            (folder / f"drawn/data/{kind}/{split}").mkdir(parents=True)
        for i in range(count):
            rng = np.random.default_rng([i, count])
            photo = np.where((truth == 1)[:, :, None], [200, 120, 40], [40, 90, 160]) + rng.normal(
                0, 12, (*truth.shape, 3)
            )
            Image.fromarray(np.clip(photo, 0, 255).astype(np.uint8)).save(
                folder / f"drawn/data/images/{split}/photo{i}.png"
            )
            Image.fromarray(truth).save(folder / f"drawn/data/labels/{split}/photo{i}.png")
    project = copied(folder / "drawn", folder / "finished")
    project.set({**SETTINGS, **edits})
    project.run_all(*stages)
    return project.path


@pytest.fixture(scope="session")
def class_project(tmp_path_factory: pytest.TempPathFactory, copied: Callable[[Path, Path], Any]) -> Path:
    """Scored by label images; copy it, never write to it."""
    return finished_project(tmp_path_factory.mktemp("classes"), copied, {}, *CLASS_CHAIN)


@pytest.fixture(scope="session")
def object_project(tmp_path_factory: pytest.TempPathFactory, copied: Callable[[Path, Path], Any]) -> Path:
    """Scored by objects; copy it, never write to it."""
    return finished_project(tmp_path_factory.mktemp("objects"), copied, OBJECTS, *OBJECT_CHAIN)


@pytest.fixture(scope="session")
def spoil() -> Callable[[bytes, np.random.Generator], tuple[bytes, str]]:
    return spoil_bytes


@pytest.fixture(scope="session")
def attempt() -> Callable[..., str | None]:
    return attempted


@pytest.fixture(scope="session")
def is_finite() -> Callable[[Any], bool]:
    return finite
