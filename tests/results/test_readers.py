"""Exports read by the tools themselves, each in an environment of its own, and compared with the result by pixels.

The tools have hundreds of megabytes, so they are not among the packages of the tests: uv installs them here.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from usseg.pipeline.artifact import open_artifact
from usseg.results.export import FORMATS
from usseg.results.export.format import Masks, Split

pytestmark = pytest.mark.slow
READERS = Path(__file__).parent / "readers"
TOOLS = {"datumaro": "datumaro==1.13.12", "labelme": "labelme==6.3.1", "label_studio_sdk": "label-studio-sdk==2.1.2"}
NAMES = ("background", "grass & co", "cluster 2", "sky")
MOST_SECONDS = 540  # of one command
Maps = dict[str, np.ndarray]


def ended(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command without our packages, and without a screen."""
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    variables["QT_QPA_PLATFORM"] = "offscreen"
    return subprocess.run(command, capture_output=True, text=True, timeout=MOST_SECONDS, env=variables, check=False)


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Maps]:
    """Run a reader: read("labelme", folder) -> the arrays that it finds. Skips where the tool cannot be installed."""
    pythons: dict[str, str] = {}

    def python_with(tool: str) -> str:
        if tool not in pythons:
            folder = tmp_path_factory.mktemp(tool)
            python = str(folder / "bin/python")
            if shutil.which("uv") is None:
                pytest.skip(f"uv, which installs {TOOLS[tool]}, is not here")
            for command in (
                ("uv", "venv", "--allow-existing", "--python", sys.executable, str(folder)),
                ("uv", "pip", "install", "--python", python, TOOLS[tool]),
                (python, "-c", f"import {tool}"),
            ):
                run = ended(*command)
                if run.returncode:
                    pytest.skip(f"{TOOLS[tool]} cannot be used: {' '.join(run.stderr.split())[-300:]}")
            pythons[tool] = python
        return pythons[tool]

    def run_reader(tool: str, *arguments: str) -> Maps:
        out = tmp_path_factory.mktemp("found") / "found.npz"
        run = ended(python_with(tool), str(READERS / f"read_{tool}.py"), str(out), *arguments)
        assert run.returncode == 0, run.stderr
        with np.load(out) as arrays:
            return dict(arrays)

    return run_reader


def compare(found: Maps, wanted: Maps) -> None:
    assert sorted(found) == sorted(wanted)
    for name, classes in wanted.items():
        np.testing.assert_array_equal(found[name], classes, err_msg=name)


def rings(height: int, width: int) -> np.ndarray:
    """Classes inside each other, background in between."""
    rows, columns = np.indices((height, width))
    depth = np.minimum.reduce([rows, columns, height - 1 - rows, width - 1 - columns])
    return np.array([1, 0, 2, 1, 0, 3])[depth // 2 % 6]


def blobs(height: int, width: int, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(height, width, 4))
    return cv2.GaussianBlur(noise, (0, 0), 2.5).argmax(axis=2)


MAPS = {
    "a folder/p 1": rings(31, 40),
    "été": blobs(60, 90, 0),
    "noise": np.random.default_rng(0).integers(0, 4, (37, 23)),
    "one class": np.full((20, 30), 2),
}


@pytest.fixture(scope="module")
def hard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Maps with holes, islands and single pixels, in every format; names with a space, an accent and a folder."""
    place = tmp_path_factory.mktemp("hard")
    sizes = [(classes.shape[0], classes.shape[1]) for classes in MAPS.values()]
    paths = [f"{name}.png" for name in MAPS]
    for path, size in zip(paths, sizes, strict=True):
        (place / "data" / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size[::-1]).save(place / "data" / path)
    for name in ("voc", "coco", "cvat", "labelme", "label-studio"):
        entry = FORMATS[name]
        split = Split("val", place / "data", place / name / "val", list(MAPS), paths, sizes, NAMES)
        contents = [
            entry.encode(Masks(i, key, paths[i], classes.astype(np.uint16), no_photo), split)
            for i, (key, classes) in enumerate(MAPS.items())
        ]
        files = [split.folder / entry.file.replace("{id}", key) for key in MAPS]
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
        for path, text in entry.lists(split).items():
            (split.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (split.folder / path).write_text(text, encoding="utf-8")
        if entry.collect is not None:
            entry.collect(files[0], iter(contents), replace(split))
        else:
            for file, content in zip(files, contents, strict=True):
                file.write_bytes(content)
    return place


def no_photo() -> np.ndarray:
    raise AssertionError("these formats read no photo")


@pytest.fixture(params=["the result", "hard maps"])
def exported(request: pytest.FixtureRequest, expected) -> tuple[Path, Maps, list[str]]:
    """A folder of exports, the classes of each image of split val, and the photos."""
    if request.param == "hard maps":
        return request.getfixturevalue("hard"), MAPS, [f"{name}.png" for name in MAPS]
    named = request.getfixturevalue("named")
    paths = list(open_artifact(named / "artifacts/index/val.zarr")["path"])
    return request.getfixturevalue("masks"), expected(named, "val"), paths


def test_datumaro_reads_voc(exported, read) -> None:
    folder, wanted, _ = exported
    found = read("datumaro", "voc_segmentation", str(folder / "voc/val"))
    assert found.pop("names").tolist() == list(NAMES)
    compare(found, wanted)


def test_datumaro_reads_cvat_as_cvat_does(exported, read, tmp_path: Path) -> None:
    """CVAT reads "Segmentation mask 1.1" by this importer. It finds a mask for each component, none of background."""
    folder, wanted, _ = exported
    with zipfile.ZipFile(folder / "cvat/val/annotations.zip") as archive:
        archive.extractall(tmp_path)
    found = read("datumaro", "voc_segmentation", str(tmp_path))
    assert found.pop("names").tolist() == list(NAMES)
    compare({name: np.maximum(classes, 0) for name, classes in found.items()}, wanted)


def test_datumaro_reads_coco(exported, read, tmp_path: Path) -> None:
    """Its categories begin with 0, without the background."""
    folder, wanted, _ = exported
    place = tmp_path / "annotations/instances_val.json"
    place.parent.mkdir()
    shutil.copy(folder / "coco/val/instances.json", place)
    (tmp_path / "images").mkdir()  # as in COCO; datumaro asks for it
    found = read("datumaro", "coco_instances", str(place))
    assert found.pop("names").tolist() == list(NAMES[1:])
    assert {Path(name).name for name in found} == {Path(name).name for name in wanted}
    by_name = {Path(name).name: classes + 1 for name, classes in found.items()}
    compare(by_name, {Path(name).name: classes for name, classes in wanted.items()})


def test_labelme_reads_its_files(exported, read) -> None:
    folder, wanted, _ = exported
    compare(read("labelme", str(folder / "labelme/val"), *NAMES), wanted)


def test_label_studio_reads_its_tasks(exported, read) -> None:
    from urllib.parse import unquote

    folder, wanted, paths = exported
    found = read("label_studio_sdk", str(folder / "label-studio/val"), *NAMES)
    found = {unquote(url.partition("?d=")[2]): classes for url, classes in found.items()}
    compare(found, dict(zip(paths, wanted.values(), strict=True)))
