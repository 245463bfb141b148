"""The colours of names.yaml in the formats that have colours."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from usseg.pipeline.errors import ParamsError
from usseg.pipeline.project import Project
from usseg.results.export.format import Split, voc_colors
from usseg.results.names import NamesFile, clustering_of, read_names_file, save_names
from usseg.stages import STAGES

GRASS, SKY = (1, 160, 255), (0, 128, 0)  # SKY is the colour of class 2 in VOC's colour map


@pytest.fixture(scope="module")
def colored(named: Path, copied, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The named project, with colours of the classes 1 and 3; the colour of class 1 stands at its second label."""
    path = copied(named, tmp_path_factory.mktemp("colored")).path
    color(path, {3: "#01a0ff", 4: "#008000"})
    return path


def color(path: Path, colors: dict[int, str]) -> None:
    clustering = clustering_of(Project.open(STAGES, path), "test")
    save_names(path, clustering, NamesFile(read_names_file(path, clustering).names, colors))


def test_voc_and_cvat_have_the_colours(colored: Path, expected, export, tmp_path: Path) -> None:
    export(colored, "voc", "cvat", "overlay", out=tmp_path, split="val")
    free = voc_colors(np.array(4)).tolist()  # of class 2, whose own is taken
    palette = np.array([(0, 0, 0), GRASS, free, SKY], np.uint8)
    lines = (tmp_path / "voc/val/labelmap.txt").read_text().splitlines()[1:]
    assert [line.split(":")[1] for line in lines] == [",".join(map(str, row)) for row in palette.tolist()]
    for name, classes in expected(colored, "val").items():
        with Image.open(tmp_path / f"voc/val/SegmentationClass/{name}.png") as image:
            np.testing.assert_array_equal(np.asarray(image), classes)
            np.testing.assert_array_equal(np.asarray(image.convert("RGB")), palette[classes])
        with zipfile.ZipFile(tmp_path / "cvat/val/annotations.zip") as archive:
            image = Image.open(io.BytesIO(archive.read(f"SegmentationClass/{name}.png")))
            np.testing.assert_array_equal(np.asarray(image.convert("RGB")), palette[classes])


def test_other_colours_write_the_files_anew(colored: Path, copied, export, tmp_path: Path) -> None:
    path = copied(colored, tmp_path / "p").path
    export(path, "overlay", out=tmp_path / "out", split="val")
    before = {file.name: file.read_bytes() for file in (tmp_path / "out/overlay/val").glob("*.jpg")}
    color(path, {1: "#ff00ff", 4: "#ff8000"})
    lines = export(path, "overlay", out=tmp_path / "out", split="val")
    assert "kept" not in lines[-1]
    after = {file.name: file.read_bytes() for file in (tmp_path / "out/overlay/val").glob("*.jpg")}
    assert before.keys() == after.keys()
    assert all(after[name] != content for name, content in before.items())


def test_two_classes_of_one_colour_are_refused(colored: Path, copied, export, tmp_path: Path) -> None:
    path = copied(colored, tmp_path / "p").path
    color(path, {1: "#008000", 4: "#008000"})
    with pytest.raises(ParamsError, match="the classes 'grass & co' and 'sky' have one colour, #008000"):
        export(path, "cvat", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_all_colours_differ() -> None:
    classes = tuple(map(str, range(300)))
    plain = Split("val", Path(), Path(), [], [], [], classes)
    own = {number: "#{:02x}{:02x}{:02x}".format(*voc_colors(np.array(number + 1))) for number in range(1, 300, 2)}
    colored = replace(plain, own_colors=own)
    assert len(np.unique(colored.colors, axis=0)) == 300
    for number, text in own.items():
        assert colored.colors[number].tobytes().hex() == text[1:]
    np.testing.assert_array_equal(plain.colors, voc_colors(np.arange(300)))
    assert not colored.colors[0].any()
