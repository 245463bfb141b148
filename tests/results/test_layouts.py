"""Public datasets: tiny file trees in the real layouts are indexed and read back."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from usseg.pipeline.images import read_image
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.label_values import LabelValues, label_table
from usseg.pipeline.labels import read_labels
from usseg.pipeline.params import read_params
from usseg.results.datasets import find_layout
from usseg.results.datasets.layouts import CLASSES, PARTITIONS, Layout, check, settings_of
from usseg.results.datasets.published import COCO_27, LAYOUTS
from usseg.results.params_file import write_settings

SIZE = (24, 32)
BOXES = {"voc2007-objects", "voc2012-objects", "coco20k"}


def write_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".mat":
        savemat(path, {"img": np.full((*SIZE, 4), 90, np.uint8)})
    else:
        Image.fromarray(np.full((*SIZE, 3), 90, np.uint8)).save(path)


def write_people(path: Path) -> None:
    """Two segmentations in the format of BSDS500: cells with one struct each."""
    maps = [np.arange(SIZE[1])[None] * parts // SIZE[1] + np.ones(SIZE, np.uint16) for parts in (2, 3)]
    cells = np.empty((1, 2), object)
    for place, found in enumerate(maps):
        cells[0, place] = {"Segmentation": found.astype(np.uint16), "Boundaries": np.zeros(SIZE, np.uint8)}
    savemat(path, {"groundTruth": cells})


def write_boxes(path: Path, name: str) -> None:
    """Pixels 3 to 10 by 5 to 8, counted from 1, as VOC or COCO has them; COCO's file grows by an image."""
    if path.suffix == ".xml":
        box = "<bndbox><xmax>10</xmax><xmin>3</xmin><ymax>8</ymax><ymin>5</ymin></bndbox>"
        size = f"<size><width>{SIZE[1]}</width><height>{SIZE[0]}</height><depth>3</depth></size>"
        path.write_text(f"<annotation>{size}<object><difficult>1</difficult>{box}</object></annotation>")
        return
    content = json.loads(path.read_text()) if path.exists() else {"images": [], "annotations": []}
    number = len(content["images"])
    content["images"].append({"id": number, "file_name": f"{name}.jpg", "height": SIZE[0], "width": SIZE[1]})
    content["annotations"].append({"image_id": number, "iscrowd": 0, "bbox": [2.2, 3.9, 7.5, 3.8]})
    path.write_text(json.dumps(content))


def write_label(path: Path, value: int, name: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".xml", ".json"):
        write_boxes(path, name)
        return
    if "groundTruth" in path.parts:
        write_people(path)
        return
    values = np.full(SIZE, value, np.uint8)
    values[0] = 255
    if path.suffix == ".mat":
        savemat(path, {"gt": values.astype(np.int32)})
        return
    image = Image.fromarray(values)
    if "SegmentationClass" in path.parts:
        image = image.convert("P")
        image.putpalette([(37 * i) % 256 for i in range(768)])
    image.save(path)


def write_tree(root: Path, layout: Layout, value: int, place: int = 0) -> None:
    """Two images for each split. If the layout has lists, there is one more image that no list names."""
    for split, files in layout.places[place].items():
        names = [f"{split}_1", f"{split}_2"]
        if files.get("ids"):
            ids = root / str(files["ids"])
            ids.parent.mkdir(parents=True, exist_ok=True)
            # LOST's list of COCO names files; the others name ids.
            lines = [f"train2014/{name}.jpg" for name in names] if "coco_20k" in ids.name else names
            ids.write_text("\n".join(lines) + "\n")
            names.append(f"{split}_unlisted")
        for name in names:
            for glob, write in ((files["images"], write_image), (files["labels"], None)):
                if glob is None:
                    continue
                folder, _, pattern = glob.replace("/*/", "/city/").rpartition("/")
                path = root / folder / pattern.replace("{id}", "*").replace("*", name)
                write(path) if write else write_label(path, value, name)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_found_and_read(tiny_project, name: str) -> None:
    layout = find_layout(name)
    value, wanted = min(label_table(list(layout.classes.values())).items(), default=(0, 0))
    root = tiny_project.path / "public"
    write_tree(root, layout, value)
    assert all(fine for _, fine in check(layout, root))
    write_settings(tiny_project.path, settings_of(layout, Path("public")))
    for split in layout.places[0]:
        index = tiny_project.run("index", split)
        if layout.places[0][split]["labels"] is None:
            assert {f"{s}_{i}" for s in layout.places[0] for i in (1, 2, "unlisted")} >= set(index["id"])
            assert len(index["id"]) == 3 * len(layout.places[0]) - 1
            assert not any(index["label_path"])
            assert read_params(tiny_project.path)["index"]["fit_split"] == split
            continue
        assert [Path(i).name for i in index["id"]] == [f"{split}_1", f"{split}_2"]
        np.testing.assert_array_equal(index["size"], [SIZE, SIZE])
        inputs = Inputs(split, {"index": index}, read_params(tiny_project.path)["index"], tiny_project.path)
        assert inputs.image(0).shape == (*SIZE, 3)
        truth, labels = inputs.truth(1), inputs.truth(1).labels
        if layout.scoring is PARTITIONS:
            assert [part.shape for part in truth.partitions] == [SIZE, SIZE]
            assert [part.max() for part in truth.partitions] == [2, 3]
        elif layout.name in BOXES:
            np.testing.assert_array_equal(truth.boxes, [[2, 4, 10, 8]])
        else:
            assert labels is not None
            assert (labels[1:] == wanted).all()
            assert (labels[0] == (1 if "object" in layout.classes else -1)).all()


def test_a_dataset_brings_its_scoring(tiny_project) -> None:
    write_settings(tiny_project.path, settings_of(find_layout("bsds500"), Path("public")))
    content = read_params(tiny_project.path)
    assert (content["evaluate"]["method"], content["refine"]["source"]) == ("partitions", "segments")
    write_settings(tiny_project.path, settings_of(find_layout("ecssd"), Path("public")))
    content = read_params(tiny_project.path)
    assert (content["evaluate"]["method"], content["segments"]["background"]) == ("objects", "border")
    assert content["refine"]["foreground"] is True
    write_settings(tiny_project.path, settings_of(find_layout("camvid"), Path("public")))
    content = read_params(tiny_project.path)
    assert (content["evaluate"]["method"], content["refine"]["source"]) == ("classes", "assign")


@pytest.mark.parametrize(
    ("name", "background", "k"),
    [
        ("voc2012", False, 21),
        ("voc2012", True, 20),
        ("cityscapes27", False, 27),
        ("cityscapes27", True, 27),
        ("potsdam3", True, 3),
    ],
)
def test_a_dataset_brings_a_cluster_for_each_class(name: str, background: bool, k: int) -> None:
    content = {"segments": {"background": "border" if background else "none"}}
    assert settings_of(find_layout(name), Path("public"), content)["cluster"]["k"] == k
    collision = {**content, "assign": {"background_collision": True}}
    assert settings_of(find_layout(name), Path("public"), collision)["cluster"]["k"] == len(LAYOUTS[name].classes)


def test_a_dataset_without_classes_leaves_the_clusters() -> None:
    for layout in LAYOUTS.values():
        assert ("cluster" in settings_of(layout, Path("public"))) == (layout.scoring is CLASSES)


def test_a_nested_archive_is_found(tmp_path: Path) -> None:
    layout = find_layout("dut-omron")
    write_tree(tmp_path, layout, 0, place=1)
    assert settings_of(layout, tmp_path)["index"]["splits"]["test"]["images"] == "DUT-OMRON-image/DUT-OMRON-image/*.jpg"
    assert list(check(layout, tmp_path)) == [("test: 2 images, published 5168", True)]


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    layout = find_layout("voc2012")
    write_tree(tmp_path, layout, 3)
    (tmp_path / "JPEGImages/val_2.jpg").unlink()
    (tmp_path / "SegmentationClass/train_1.png").unlink()
    found = dict(check(layout, tmp_path))
    train, val, unlabelled = found
    assert unlabelled == "unlabelled: 7 images, published 17125"
    assert train == ("train: 2 images, published 1464; 1 have no file in SegmentationClass/*.png, such as 'train_1'")
    assert val == ("val: 1 images, published 1449; 1 of ImageSets/Segmentation/val.txt are missing, such as 'val_2'")
    assert (found[train], found[val]) == (False, False)


def test_coco_groups() -> None:
    table = label_table(list(COCO_27.values()))
    assert sorted(table) == list(range(182))
    sizes = np.bincount(list(table.values()), minlength=27).tolist()
    assert sizes == [6, 6, 10, 10, 8, 8, 8, 10, 6, 1, 10, 8, 2, 6, 4, 11, 4, 11, 7, 2, 6, 11, 9, 2, 6, 5, 5]
    assert sum(fine * coarse for fine, coarse in table.items()) == 253_662
    found = LabelValues(tuple(COCO_27), tuple(COCO_27.values())).to_classes(np.array([0, 1, 90, 91, 105, 181, 255]))
    np.testing.assert_array_equal(found, [9, 11, 4, 17, 23, 24, -1])


@pytest.mark.parametrize(
    ("name", "raw", "classes"),
    [
        ("cityscapes27", [0, 6, 7, 11, 26, 33, 255], [-1, -1, 0, 4, 19, 26, -1]),
        ("potsdam3", [0, 1, 2, 3, 4, 5], [0, 1, 2, 2, 0, 1]),
        ("cocostuff3", [105, 93, 110, 0, 255], [0, 1, 2, -1, -1]),
        ("cocostuff15", [0, 90, 101, 178], [-1, -1, 0, 14]),
        ("ecssd", [0, 127, 128, 255], [0, 0, 1, 1]),
    ],
)
def test_label_values(name: str, raw: list[int], classes: list[int]) -> None:
    index = settings_of(find_layout(name), Path("public"))["index"]
    np.testing.assert_array_equal(LabelValues.of(index).to_classes(np.array(raw)), classes)


@pytest.mark.parametrize("entries", [["x"], ["1-"], ["-1"], ["3", "1-4"], [""]])
def test_bad_label_values_are_refused(entries: list[str]) -> None:
    with pytest.raises(ValueError, match="allowed|named twice"):
        label_table(entries)


def test_matrices_are_read_as_images_and_labels(tmp_path: Path) -> None:
    pixels = np.arange(24 * 32 * 4).reshape(24, 32, 4).astype(np.uint8)
    savemat(tmp_path / "a.mat", {"img": pixels})
    np.testing.assert_array_equal(read_image(tmp_path / "a.mat"), pixels[:, :, :3])
    savemat(tmp_path / "b.mat", {"gt": np.eye(4, dtype=np.int32)})
    np.testing.assert_array_equal(read_labels(tmp_path / "b.mat"), np.eye(4))
