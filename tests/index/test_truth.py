"""Ground truth files: boxes and segmentations, and the checks of the index."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from usseg.pipeline.errors import ImageError, ParamsError
from usseg.pipeline.files import file_checksum
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.label_values import LabelValues
from usseg.pipeline.matlab import matrix_size
from usseg.pipeline.truth import Truth, read_truth

SIZE = (48, 64)
PLAIN = LabelValues()
THING = (
    "<object><name>cat</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>{}</object>"
)


def voc(path: Path, *things: str, width: int = 64, height: int = 48) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    path.write_text(f"<annotation>{size}{''.join(things)}</annotation>")
    return path


def thing(*corners: float, extra: str = "") -> str:
    return THING.format(*corners, extra)


def coco(path: Path, images: dict[str, list[dict]], size: tuple[int, int] = SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "images": [
            {"id": 100 + i, "file_name": name, "height": size[0], "width": size[1]} for i, name in enumerate(images)
        ],
        "annotations": [{"image_id": 100 + i, **one} for i, found in enumerate(images.values()) for one in found],
    }
    path.write_text(json.dumps(content))
    return path


def people(path: Path, *maps: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = np.empty((1, len(maps)), object)
    for place, found in enumerate(maps):
        cells[0, place] = {"Segmentation": found, "Boundaries": np.zeros(found.shape, np.uint8)}
    savemat(path, {"groundTruth": cells})
    return path


def read(path: Path, image: str = "a.jpg", values: LabelValues = PLAIN) -> Truth:
    """The truth that a file has of an upright grey photo beside it."""
    photo = path.parent / image
    photo.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", SIZE[::-1]).save(photo)
    return read_truth(path.parent, path.name, image, SIZE, values)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be", "latin-1"])
@pytest.mark.parametrize("kind", ['[<!ENTITY far "64">]', 'SYSTEM "other.dtd"', ""])
def test_a_document_type_of_voc_is_refused_in_every_encoding(tmp_path: Path, kind: str, encoding: str) -> None:
    text = (
        voc(tmp_path / "a.xml", thing(1, 1, 64, 48))
        .read_text()
        .replace(">64</xmax>", ">&far;</xmax>" if "far" in kind else ">64</xmax>")
    )
    head = f'<?xml version="1.0" encoding="{encoding.removesuffix("-be")}"?>'
    (tmp_path / "a.xml").write_bytes(f"{head}<!DOCTYPE annotation {kind}>{text}".encode(encoding))
    with pytest.raises(ImageError, match=r"a\.xml: no annotations of VOC: found a document type"):
        read(tmp_path / "a.xml")
    (tmp_path / "a.xml").write_bytes(f"{head}<!-- no <!DOCTYPE -->{text.replace('&far;', '64')}".encode(encoding))
    assert read(tmp_path / "a.xml").boxes.tolist() == [[0, 0, 64, 48]]


def test_boxes_of_voc_begin_at_one_and_keep_hard_objects(tmp_path: Path) -> None:
    part = "<part><name>head</name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></part>"
    things = [
        thing(1, 1, 64, 48, extra="<difficult>1</difficult>"),
        thing(10.4, 20, 30.7, 41, extra=f"<truncated>1</truncated>{part}"),
    ]
    truth = read(voc(tmp_path / "a.xml", *things))
    np.testing.assert_array_equal(truth.boxes, [[0, 0, 64, 48], [9, 19, 31, 41]])
    assert truth.kind == "boxes"
    assert truth.labels is None
    assert truth.partitions is None
    assert read(voc(tmp_path / "b.xml")).boxes.shape == (0, 4)


def test_boxes_of_coco_are_rounded_and_crowds_left_out(tmp_path: Path) -> None:
    found = {
        "train2014/a.jpg": [
            {"iscrowd": 0, "bbox": [1.4, 2.6, 10.2, 5.3]},
            {"iscrowd": 1, "bbox": [0, 0, 64, 48]},
        ],
        "b.jpg": [],
    }
    path = coco(tmp_path / "instances.json", found)
    # 1.4 + 10.2 = 11.6 and 2.6 + 5.3 = 7.9: the far corner is rounded, not the width.
    np.testing.assert_array_equal(read(path, "train2014/a.jpg").boxes, [[1, 3, 12, 8]])
    assert read(path, "b.jpg").boxes.shape == (0, 4)
    with pytest.raises(ImageError, match=r"instances\.json: it knows no image 'c\.jpg'; add it"):
        read(path, "c.jpg")


def test_a_coco_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = coco(tmp_path / "instances.json", {"a.jpg": [{"bbox": [0, 0, 5, 5]}]})
    assert len(read(path, "a.jpg").boxes) == 1
    coco(path, {"a.jpg": [{"bbox": [0, 0, 5, 5]}, {"bbox": [1, 1, 5, 5]}]})
    assert len(read(path, "a.jpg").boxes) == 2


def test_segmentations_of_several_people(tmp_path: Path) -> None:
    one, two = np.ones(SIZE, np.uint16), np.arange(48 * 64, dtype=np.uint16).reshape(SIZE)
    truth = read(people(tmp_path / "a.mat", one, two))
    assert truth.kind == "segmentations"
    for found, given in zip(truth.partitions, (one, two), strict=True):
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, given)


def test_text_in_a_matlab_file_has_a_size(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"words": "labels"})
    assert matrix_size(tmp_path / "a.mat") == (1, 1)


def spoiled(path: Path) -> list[tuple[Path, str]]:
    """Broken files, and what is said of them."""
    path.mkdir(parents=True)
    (path / "text.xml").write_text("no xml")
    (path / "html.xml").write_text("<html></html>")
    (path / "text.json").write_text("{")
    (path / "list.json").write_text("[]")
    (path / "bare.json").write_text('{"images": []}')
    coco(path / "strange.json", {"a.jpg": [{"image_id": 7, "bbox": [0, 0, 1, 1]}]})
    savemat(path / "cells.mat", {"groundTruth": np.array([[{"Other": 1}]], object)})
    people(path / "floats.mat", np.zeros(SIZE))
    return [
        (path / "text.xml", "no annotations of VOC: syntax error"),
        (path / "html.xml", "no annotations of VOC: found <html>"),
        (
            voc(path / "word.xml", thing("x", 1, 2, 3)),
            "object 1 ('cat'): xmin: found 'x'; a number of pixels is needed",
        ),
        (
            voc(path / "bare.xml", "<object></object>"),
            "object 1 (None): xmin: found nothing; a number of pixels is needed",
        ),
        (path / "text.json", "no instances of COCO: Expecting property name"),
        (path / "list.json", "no instances of COCO: found []; images and annotations are needed"),
        (path / "bare.json", "no instances of COCO: no 'annotations'; annotations must be a list"),
        (path / "strange.json", "annotations[0]: image_id: found 7; no image has this id"),
        (path / "cells.mat", "found no segmentations; cells with a map `Segmentation` each are needed"),
        (path / "floats.mat", "found no segmentations"),
        *((path / f"gone.{suffix}", "no such file") for suffix in ("xml", "json", "mat")),
    ]


def test_broken_files_are_one_line(tmp_path: Path) -> None:
    for path, line in spoiled(tmp_path / "bad"):
        with pytest.raises(ImageError) as error:
            read(path, "a.jpg")
        assert f"{path}: {line}" in str(error.value)
        assert "\n" not in str(error.value)


def test_what_does_not_fit_the_image(tmp_path: Path) -> None:
    cases = [
        (voc(tmp_path / "a.xml", width=32), r"boxes in 32 x 48 for an image of 64 x 48"),
        (voc(tmp_path / "b.xml", thing(1, 1, 66, 48)), r"the box \[0, 0, 66, 48\] reaches out of the image a\.jpg of"),
        (coco(tmp_path / "c.json", {"a.jpg": []}, (10, 10)), r"boxes in 10 x 10 for an image of 64 x 48"),
        (people(tmp_path / "d.mat", np.ones(SIZE, np.uint16), np.ones((48, 63), np.uint16)), r"labels of 63 x 48 for"),
    ]
    for path, line in cases:
        with pytest.raises(ImageError, match=line):
            read(path)
    for fine in (
        voc(tmp_path / "e.xml", thing(1, 1, 64, 48), width=0, height=0),
        voc(tmp_path / "f.xml", width=48, height=64),
    ):
        assert read(fine).boxes is not None


def use(project, labels: str, **edits) -> None:
    project.set({"index.splits": {"train": {"images": "images/train/*", "labels": labels}}, **edits})


def test_the_index_takes_boxes_an_image(tiny_project) -> None:
    data = tiny_project.path / "data"
    for i in range(4):
        voc(data / f"boxes/photo{i}.xml", *[thing(1, 1, 10 + i, 20)] * i)
    use(tiny_project, "boxes/*.xml")
    index = tiny_project.run("index")
    assert index["label_path"][3] == "boxes/photo3.xml"
    assert index["label_checksum"][3] == file_checksum(data / "boxes/photo3.xml")
    inputs = Inputs("train", {"index": index}, {"root": "data"}, tiny_project.path)
    assert inputs.truth(0).boxes.shape == (0, 4)
    np.testing.assert_array_equal(inputs.truth(2).boxes, [[0, 0, 12, 20]] * 2)
    assert inputs.truth(2).labels is None
    voc(data / "boxes/photo1.xml", width=1)
    with pytest.raises(
        ImageError, match=r"photo1\.xml: boxes in 1 x 48 for .*; mend or remove it, or set index\.on_error"
    ):
        tiny_project.run("index")


def test_the_index_takes_one_file_for_all(tiny_project) -> None:
    data = tiny_project.path / "data"
    boxes = {f"photo{i}.png": [{"bbox": [i, 0, 5, 5]}] for i in range(4)}
    path = coco(data / "instances.json", boxes)
    use(tiny_project, "instances.json")
    index = tiny_project.run("index")
    assert index["label_path"] == ["instances.json"] * 4
    assert index["label_checksum"] == [file_checksum(path)] * 4
    inputs = Inputs("train", {"index": index}, {"root": "data"}, tiny_project.path)
    np.testing.assert_array_equal(inputs.truth(3).boxes, [[3, 0, 8, 5]])
    coco(path, {name: found for name, found in boxes.items() if name != "photo2.png"})
    with pytest.raises(ImageError, match=r"instances\.json: it knows no image 'images/train/photo2\.png'; add"):
        tiny_project.run("index")
    coco(data / "more.json", boxes)
    use(tiny_project, "*.json")
    with pytest.raises(ParamsError, match=r"labels: '\*\.json' matches 2 files; of \.json one file with all images"):
        tiny_project.run("index")
    path.write_text("{")
    use(tiny_project, "instances.json", **{"index.on_error": "skip"})
    with pytest.raises(ImageError, match="no instances of COCO"):
        tiny_project.run("index")


def test_the_index_takes_segmentations(tiny_project) -> None:
    for i in range(4):
        people(
            tiny_project.path / f"data/people/photo{i}.mat", np.ones(SIZE, np.uint16), np.eye(*SIZE).astype(np.uint16)
        )
    use(tiny_project, "people/*.mat")
    inputs = Inputs(
        "train", {"index": tiny_project.run("index")}, {"root": "data", "label_values": ["1"]}, tiny_project.path
    )
    assert [part.max() for part in inputs.truth(0).partitions] == [1, 1]
    assert inputs.truth(0).labels is None
