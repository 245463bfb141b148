"""usseg export: every format is read back and compared with the result, pixel by pixel."""

import contextlib
import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from PIL import Image

from usseg.pipeline.artifact import open_artifact
from usseg.pipeline.execution import Execution
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.params import read_params
from usseg.pipeline.project import Project as Opened
from usseg.pipeline.runner import run_stage
from usseg.results.datasets import find_layout
from usseg.results.datasets.layouts import settings_of
from usseg.results.export import FORMATS
from usseg.results.export.components import connected_components
from usseg.results.export.format import Masks, Split, voc_colors
from usseg.results.export.label_studio_brush import brush_rle
from usseg.results.params_file import write_settings
from usseg.stages import STAGES

SPLITS = ("train", "val")
NAMES = ("background", "grass & co", "cluster 2", "sky")


def test_the_result_has_several_classes_a_merged_one_and_a_background(named: Path) -> None:
    maps = open_artifact(named / "artifacts/refine/train.zarr")["maps"]
    assert set(np.unique(np.stack([maps[i] for i in range(len(maps))]))) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("split", SPLITS)
def test_voc(named: Path, masks: Path, split: str, expected) -> None:
    folder = masks / "voc" / split
    assert (folder / "classes.txt").read_text().splitlines() == list(NAMES)
    ids = (folder / f"ImageSets/Segmentation/{split}.txt").read_text().splitlines()
    assert ids == list(expected(named, split))
    for name, classes in expected(named, split).items():
        with Image.open(folder / f"SegmentationClass/{name}.png") as image:
            assert image.mode == "P"
            np.testing.assert_array_equal(np.asarray(image), classes)
            assert image.getpalette()[: 3 * 4] == [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
@pytest.mark.parametrize("split", SPLITS)
def test_coco(named: Path, masks: Path, split: str, expected) -> None:
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(masks / f"coco/{split}/instances.json"))
    assert [one["name"] for one in coco.loadCats(coco.getCatIds())] == list(NAMES[1:])
    paths = open_artifact(named / f"artifacts/index/{split}.zarr")["path"]
    for image, path, classes in zip(coco.dataset["images"], paths, expected(named, split).values(), strict=True):
        assert image["file_name"] == path
        assert (image["height"], image["width"]) == classes.shape
        out = np.zeros(classes.shape, int)
        for one in coco.loadAnns(coco.getAnnIds(image["id"])):
            mask = coco.annToMask(one).astype(bool)
            assert not out[mask].any()
            out[mask] = one["category_id"]
            assert one["iscrowd"] == 0
            assert one["area"] == mask.sum()
            ys, xs = np.nonzero(mask)
            assert one["bbox"] == [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
            assert cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[0] == 2
        np.testing.assert_array_equal(out, classes)
    ids = [one["id"] for one in coco.dataset["annotations"]]
    assert ids == list(range(1, len(ids) + 1))


@pytest.mark.parametrize("split", SPLITS)
def test_cvat(named: Path, masks: Path, split: str, tmp_path: Path, expected) -> None:
    with zipfile.ZipFile(masks / f"cvat/{split}/annotations.zip") as archive:
        archive.extractall(tmp_path)
    ids = (tmp_path / "ImageSets/Segmentation/default.txt").read_text().splitlines()
    assert ids == list(expected(named, split))
    for name, classes in expected(named, split).items():
        with Image.open(tmp_path / f"SegmentationClass/{name}.png") as image:
            np.testing.assert_array_equal(np.asarray(image.convert("RGB")), voc_colors(classes))
        with Image.open(tmp_path / f"SegmentationObject/{name}.png") as image:
            colors = np.asarray(image.convert("RGB")).reshape(-1, 3)
        instances = np.unique(colors, axis=0, return_inverse=True)[1].reshape(classes.shape)
        for instance in np.unique(instances):
            assert len(set(classes[instances == instance])) == 1
        assert len(np.unique(instances[classes > 0])) == len(connected_components(classes.astype(np.uint16))[1])


def test_cvat_has_255_colors_of_components() -> None:
    """The largest components have their own; the others of each class share one."""
    classes = np.zeros((40, 60), int)
    classes[::2, ::4], classes[1::2, 2::4] = 1, 2  # 300 components of each class, of one pixel
    classes[:20, 1] = 3
    masks, split = one_image(classes)
    files = FORMATS["cvat"].encode(masks, split)
    with Image.open(io.BytesIO(files["SegmentationObject/a.png"])) as image:
        colors = np.asarray(image.convert("RGB"))
    known = [tuple(color) for color in voc_colors(np.arange(256)).tolist()]
    values = np.array([known.index(tuple(color)) for color in colors.reshape(-1, 3).tolist()]).reshape(classes.shape)
    assert (values[:20, 1] == 1).all()
    np.testing.assert_array_equal(values > 0, classes > 0)
    assert all(len(set(classes[values == value])) == 1 for value in np.unique(values))
    assert [int((values == value).sum()) for value in range(2, 254)] == [1] * 251 + [300 - 251]
    assert FORMATS["cvat"].remark(masks, split).startswith("more than 255 components")
    assert not FORMATS["cvat"].remark(*one_image(classes[:6]))


def test_our_own_reader_reads_the_export_for_cvat(named: Path, masks: Path, edit, tmp_path: Path, expected) -> None:
    public = tmp_path / "public"
    with zipfile.ZipFile(masks / "cvat/val/annotations.zip") as archive:
        archive.extractall(public)
    shutil.copytree(named / "data/images/val", public / "JPEGImages")
    edit(tmp_path, {})
    write_settings(tmp_path, settings_of(find_layout("cvat", public), public))
    content = read_params(tmp_path)["index"]
    assert content["classes"] == list(NAMES)
    index = open_artifact(run_stage(Opened.open(STAGES, tmp_path), "index", "train", Execution()))
    inputs = Inputs("train", {"index": index}, content, tmp_path)
    for i, classes in enumerate(expected(named, "val").values()):
        np.testing.assert_array_equal(inputs.truth(i).labels.reshape(classes.shape), classes)


def drawn(content: dict[str, Any]) -> np.ndarray:
    """The polygons of a labelme file, filled in their order."""
    out = np.zeros((content["imageHeight"], content["imageWidth"]), np.int32)
    for shape in content["shapes"]:
        value = 0 if shape["label"] == "_background_" else NAMES.index(shape["label"])
        assert shape["shape_type"] == "polygon"
        assert len(shape["points"]) >= 3
        cv2.fillPoly(out, [np.array(shape["points"], np.int32)], value)
    return out


@pytest.mark.parametrize("split", SPLITS)
def test_labelme(named: Path, masks: Path, split: str, expected) -> None:
    for name, classes in expected(named, split).items():
        file = masks / f"labelme/{split}/{name}.json"
        content = json.loads(file.read_text())
        np.testing.assert_array_equal(drawn(content), classes)
        assert (file.parent / content["imagePath"]).resolve() == named / f"data/images/{split}/{name}.png"


def one_image(classes: np.ndarray) -> tuple[Masks, Split]:
    masks = Masks(0, "a", "a.png", classes.astype(np.uint16), lambda: np.zeros((*classes.shape, 3), np.uint8))
    return masks, Split("val", Path("/root"), Path("/out"), ["a"], ["a.png"], [classes.shape], NAMES)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("grain", [1, 3])
def test_polygons_give_any_map_with_holes_and_islands(seed: int, grain: int) -> None:
    rng = np.random.default_rng(seed)
    classes = np.kron(rng.integers(0, 2 + seed % 3, rng.integers(2, 24, 2)), np.ones((grain, grain), int))
    masks, split = one_image(classes)
    np.testing.assert_array_equal(drawn(json.loads(FORMATS["labelme"].encode(masks, split))), classes)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("grain", [1, 3])
def test_run_lengths_of_coco_are_those_of_pycocotools(seed: int, grain: int) -> None:
    from pycocotools import mask as run_lengths

    rng = np.random.default_rng(seed)
    classes = np.kron(rng.integers(0, 2 + seed % 3, rng.integers(1, 12, 2)), np.ones((grain, grain), int))
    masks, split = one_image(classes)
    numbers, components = masks.components
    annotations = FORMATS["coco"].encode(masks, split)
    assert len(annotations) == len(components)
    for number, one in enumerate(annotations, start=1):
        coded = run_lengths.encode(np.asfortranarray(numbers == number, dtype=np.uint8))
        assert one["segmentation"] == {"size": list(classes.shape), "counts": coded["counts"].decode()}


def decoded(rle: list[int]) -> np.ndarray:
    """Decode run lengths as `decode_rle` of label-studio-converter, brush.py, does; written from its format."""
    stream = "".join(f"{byte:08b}" for byte in rle)
    place = 0

    def read(width: int) -> int:
        nonlocal place
        place += width
        return int(stream[place - width : place], 2)

    out = np.zeros(read(32), np.uint8)
    word, sizes = read(5) + 1, [read(4) + 1 for _ in range(4)]
    i = 0
    while i < len(out):
        repeated, length = read(1), read(sizes[read(2)]) + 1
        if repeated:
            out[i : i + length] = read(word)
        else:
            out[i : i + length] = [read(word) for _ in range(length)]
        i += length
    return out


@pytest.mark.parametrize("split", SPLITS)
def test_label_studio(named: Path, masks: Path, split: str, expected) -> None:
    tasks = json.loads((masks / f"label-studio/{split}/tasks.json").read_text())
    for task, (name, classes) in zip(tasks, expected(named, split).items(), strict=True):
        assert task["data"]["image"] == f"/data/local-files/?d=images/{split}/{name}.png"
        out = np.zeros(classes.shape, int)
        for region in task["predictions"][0]["result"]:
            assert (region["original_height"], region["original_width"]) == classes.shape
            mask = decoded(region["value"]["rle"]).reshape(*classes.shape, 4)
            assert (mask == mask[:, :, 3:]).all()
            assert set(np.unique(mask)) <= {0, 255}
            (label,) = region["value"]["brushlabels"]
            out[mask[:, :, 3] == 255] = NAMES.index(label)
        np.testing.assert_array_equal(out, classes)
    config = ElementTree.fromstring((masks / f"label-studio/{split}/config.xml").read_text())
    assert [label.get("value") for label in config.iter("Label")] == list(NAMES[1:])


@pytest.mark.parametrize("kind", ["empty", "full", "noise", "one pixel", "exactly the longest run", "one more"])
def test_run_lengths_of_any_mask(kind: str) -> None:
    mask = np.zeros((129, 256), bool)
    flat = mask.reshape(-1)
    if kind == "noise":
        mask[:] = np.random.default_rng(0).random(mask.shape) < 0.5
    else:
        flat[: {"empty": 0, "full": mask.size, "one pixel": 1, "one more": 16385}.get(kind, 16384)] = True
    np.testing.assert_array_equal(decoded(brush_rle(mask)).reshape(-1, 4)[:, 3] == 255, flat)


@pytest.mark.parametrize("split", SPLITS)
def test_overlay(named: Path, masks: Path, split: str, expected) -> None:
    index = open_artifact(named / f"artifacts/index/{split}.zarr")
    inputs = Inputs(split, {"index": index}, {"root": "data"}, named)
    for i, (name, classes) in enumerate(expected(named, split).items()):
        with Image.open(masks / f"overlay/{split}/{name}.jpg") as image:
            shown = np.asarray(image).astype(float)
        photo = inputs.image(i).astype(float)
        mixed = np.where(classes[:, :, None] > 0, (photo + voc_colors(classes)) / 2, photo)
        assert shown.shape == mixed.shape
        assert np.abs(shown - mixed).mean() < 8  # JPEG
        assert np.abs(shown - mixed).mean() < np.abs(shown - photo).mean()


@pytest.mark.parametrize("split", SPLITS)
def test_the_manifest_has_the_share_and_the_uncertainty_of_each_class(
    named: Path, masks: Path, split: str, expected
) -> None:
    rows = [line.split(",") for line in (masks / f"manifest-{split}.csv").read_text().splitlines()]
    assert rows[0] == ["image", "class", "share", "uncertainty"]
    assign = open_artifact(named / f"artifacts/assign/{split}.zarr")
    wanted, doubts = [], []
    for i, (name, classes) in enumerate(expected(named, split).items()):
        grid = assign["grid"][i]
        margin = assign["margin"][i, : grid.prod()].reshape(grid).astype(float)
        # Patches of 8 pixels cover the images of 48 x 64 exactly.
        margin = margin.repeat(8, axis=0).repeat(8, axis=1)
        assert margin.shape == classes.shape
        for value in np.unique(classes):
            wanted.append([f"images/{split}/{name}.png", NAMES[value], f"{(classes == value).mean():.6f}"])
            doubts.append(1 - margin[classes == value].mean())
    assert [row[:3] for row in rows[1:]] == wanted
    np.testing.assert_allclose([float(row[3]) for row in rows[1:]], doubts, atol=6e-5)
    assert 0 < max(doubts) < 1


def test_colors_are_those_of_voc() -> None:
    published = {0: (0, 0, 0), 1: (128, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192)}
    for value, color in published.items():
        assert tuple(voc_colors(np.array([value]))[0].tolist()) == color
    assert len(np.unique(voc_colors(np.arange(70000)), axis=0)) == 70000
