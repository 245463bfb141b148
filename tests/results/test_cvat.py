"""Exports of CVAT: the layout is detected, applied, and its masks are read."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from usseg.pipeline.errors import ParamsError
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.params import read_params
from usseg.results.datasets import find_layout
from usseg.results.datasets.cvat import labelmap_classes
from usseg.results.datasets.layouts import check, settings_of
from usseg.results.params_file import write_settings

LABELMAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:128,64,128::\nsign post:220,220,0:a,b:\n"
ROAD, POST = (128, 64, 128), (220, 220, 0)


def export(root: Path, *lists: str) -> None:
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    (root / "labelmap.txt").write_text(LABELMAP)
    mask = np.zeros((24, 32, 3), np.uint8)
    mask[6:12], mask[12:18] = ROAD, POST
    for name in lists or ("default",):
        Image.new("RGB", (32, 24), (90, 90, 90)).save(root / f"JPEGImages/{name}_1.jpg")
        Image.fromarray(mask).save(root / f"SegmentationClass/{name}_1.png")
        (root / f"ImageSets/Segmentation/{name}.txt").write_text(f"{name}_1\n")


@pytest.mark.parametrize(
    ("lists", "splits"),
    [
        (("default",), {"train"}),
        (("Train", "Validation"), {"train", "val"}),
        (("train", "val", "mine"), {"train", "val", "mine"}),
    ],
)
def test_an_export_is_applied_and_read(tiny_project, lists: tuple[str, ...], splits: set[str]) -> None:
    root = tiny_project.path / "public"
    export(root, *lists)
    layout = find_layout("cvat", root)
    assert all(fine for _, fine in check(layout, root))
    write_settings(tiny_project.path, settings_of(layout, root))
    content = read_params(tiny_project.path)["index"]
    assert set(content["splits"]) == splits
    assert content["classes"] == ["background", "road", "sign post"]
    assert content["label_values"] == ["#000000", "#804080", "#dcdc00"]
    for split in splits:
        inputs = Inputs(split, {"index": tiny_project.run("index", split)}, content, tiny_project.path)
        np.testing.assert_array_equal(inputs.truth(0).labels[:, 0], np.repeat([0, 1, 2, 0], 6))


def test_two_lists_of_one_split_are_refused(tmp_path: Path) -> None:
    export(tmp_path, "default", "train")
    with pytest.raises(ParamsError, match=r"Segmentation/default.txt and .*/train.txt both are split 'train'; rename"):
        find_layout("cvat", tmp_path)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("road\n", "line 1: found 'road'; name:red,green,blue"),
        ("a:1,2,3::\nroad:1,2::\n", "line 2: found 'road:1,2::'"),
        ("road:1,2,300::\n", "line 1"),
        ("a:1,2,3::\na:3,2,1::\n", "line 2: the name or the colour of 'a:3,2,1::' is taken"),
        ("a:1,2,3::\nb:1,2,3::\n", "line 2: the name or the colour"),
        ("# nothing\n", "found no class"),
    ],
)
def test_a_labelmap_of_another_kind_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "labelmap.txt").write_text(text)
    with pytest.raises(ParamsError) as error:
        labelmap_classes(tmp_path / "labelmap.txt")
    assert line in str(error.value)


def test_a_labelmap_is_needed(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"labelmap\.txt: No such file or directory; the labelmap\.txt of CVAT"):
        find_layout("cvat", tmp_path)


def test_byte_order_mark_and_crlf(tmp_path: Path) -> None:
    (tmp_path / "labelmap.txt").write_bytes(b"\xef\xbb\xbf" + LABELMAP.replace("\n", "\r\n").encode())
    assert list(labelmap_classes(tmp_path / "labelmap.txt")) == ["background", "road", "sign post"]
