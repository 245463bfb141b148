"""A project of four clusters with names, and its exports."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from usseg.pipeline.artifact import open_artifact
from usseg.pipeline.execution import Execution
from usseg.pipeline.project import Project as Opened
from usseg.pipeline.runner import run_stage
from usseg.results.applied_stages import finished_stages
from usseg.results.apply import Application, apply_project
from usseg.results.export import FORMATS
from usseg.results.export.writing import Request, export_masks
from usseg.results.names import write_names
from usseg.results.save import save_project
from usseg.stages import STAGES

CLASS_OF = np.array([0, 1, 2, 1, 3])  # labels 1 and 3 are one class
TURNED = 6  # EXIF orientation of one photo: stored 64 x 48, shown 48 x 64


def write_exports(project: Path, *formats: str, out: Path, **options: Any) -> list[str]:
    return list(export_masks(Opened.open(STAGES, project), Request(formats, out=out, workers=2, **options)))


def classes_from_the_artifact(project: Path, split: str) -> dict[str, np.ndarray]:
    maps = open_artifact(project / f"artifacts/refine/{split}.zarr")["maps"]
    ids = open_artifact(project / f"artifacts/index/{split}.zarr")["id"]
    return {name: CLASS_OF[maps[i]] for i, name in enumerate(ids)}


@pytest.fixture(scope="session")
def export() -> Callable[..., list[str]]:
    """Export a project: export(project, "voc", out=folder, min_area=5)."""
    return write_exports


@pytest.fixture(scope="session")
def expected() -> Callable[[Path, str], dict[str, np.ndarray]]:
    """Id -> class of each pixel, straight from the artifact: expected(project, split)."""
    return classes_from_the_artifact


@pytest.fixture(scope="session")
def named(finished: Path, copied, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of four clusters with names; two of them are one class. One photo is turned by EXIF."""
    project = copied(finished, tmp_path_factory.mktemp("named"))
    photo = project.path / "data/images/val/photo0.png"
    exif = Image.Exif()
    exif[0x0112] = TURNED
    Image.open(photo).transpose(Image.Transpose.ROTATE_90).save(photo, exif=exif)
    project.set({"cluster.k": 4, "refine.method": "crf", "segments.background": "border"})
    project.run_all("index", "features", "eigen", "segmenter", "segments", "crops", "cluster", "assign", "refine")
    write_names(Opened.open(STAGES, project.path), ["1=grass & co", "3=grass & co", "4=sky"])
    return project.path


@pytest.fixture(scope="session")
def masks(named: Path) -> Path:
    """The folder of the exports of the named project, in every format."""
    out = named / "out/masks"
    write_exports(named, *FORMATS, out=out)
    return out


PHOTOS = ("a.jpg", "B.JPG", "c.jpeg", "sub folder/d.JPEG")


def saved_file(project: Path, file: Path) -> list[str]:
    return list(save_project(Opened.open(STAGES, project), file))


def applied(file: Path, photos: Path, out: Path, *formats: str, **options: Any) -> list[str]:
    chosen = {name: options.pop(name) for name in ("weights", "keep") if name in options}
    request = Request(formats or ("voc",), out=out, workers=1, **options)
    return list(apply_project(Application(file, photos, request, **chosen), Execution()))


def finish_result(project: Any, split: str = "train") -> Any:
    """Run what the result of a split needs, and return the maps."""
    opened = Opened.open(STAGES, project.path)
    for name in finished_stages(opened):
        if split == "train" or STAGES[name].scope == "each":
            run_stage(opened, name, split, Execution())
    return project.artifact("refine", split)["maps"]


@pytest.fixture(scope="session")
def run_finished() -> Callable[..., Any]:
    """Run what the result of a split needs, and return the maps: run_finished(project, "val")."""
    return finish_result


@pytest.fixture(scope="session")
def save_file() -> Callable[[Path, Path], list[str]]:
    """Save a project: save_file(project, file)."""
    return saved_file


@pytest.fixture(scope="session")
def apply_file() -> Callable[..., list[str]]:
    """Segment new photos: apply_file(file, photos, out, "voc", "coco", keep=True). The format is voc without another."""
    return applied


@pytest.fixture(scope="session")
def new_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four noisy photos of two sizes in a folder with a space in its name, one below another folder."""
    folder = tmp_path_factory.mktemp("photos") / "New Photos"
    for i, name in enumerate(PHOTOS):
        rng = np.random.default_rng(100 + i)
        pixels = np.where(np.arange(60)[None, :, None] < 25, [200, 120, 40], [40, 90, 160 - 20 * i])
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        noisy = np.clip(pixels + rng.normal(0, 15, (48 + 8 * (i % 2), 60, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / name)
    return folder


@pytest.fixture(scope="session")
def meadow(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the finished tiny project."""
    file = tmp_path_factory.mktemp("meadow") / "meadow.usseg"
    saved_file(finished, file)
    return file
