"""Ground truth of photos that EXIF turns upright."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from usseg.pipeline.errors import ImageError
from usseg.pipeline.label_values import LabelValues
from usseg.pipeline.orientation import turn_boxes, turn_map
from usseg.pipeline.truth import Truth, read_truth

STORED = (48, 64)
BOX = [5, 10, 25, 40]  # xmin, ymin, xmax, ymax on the stored pixels
PLAIN = LabelValues()
CLASSES = LabelValues(("background", "object"), (), (255,))


def object_mask(size: tuple[int, int] = STORED) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    mask[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 1
    return mask


def upright(values: np.ndarray, orientation: int) -> np.ndarray:
    """As Pillow turns it."""
    image = Image.fromarray(values)
    image.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(image))


def photo(root: Path, orientation: int, size: tuple[int, int] = STORED) -> tuple[int, int]:
    """Write photo.jpg; returns its size upright."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("L", size[::-1]).save(root / "photo.jpg", exif=exif)
    return size[::-1] if orientation >= 5 else size


def corners(mask: np.ndarray) -> list[int]:
    rows, columns = np.nonzero(mask)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def read(root: Path, label: str, size: tuple[int, int], values: LabelValues = PLAIN) -> Truth:
    return read_truth(root, label, "photo.jpg", size, values)


def coco(root: Path, size: tuple[int, int]) -> None:
    """The object of `object_mask` in a file that declares this height and width."""
    x0, y0, x1, y1 = BOX
    one = {"image_id": 0, "bbox": [x0, y0, x1 - x0, y1 - y0], "category_id": 1}
    one["segmentation"] = [[x0, y0, x1, y0, x1, y1, x0, y1]]
    image = {"id": 0, "file_name": "photo.jpg", "height": size[0], "width": size[1]}
    content = {"images": [image], "annotations": [one], "categories": [{"id": 1, "name": "object"}]}
    (root / "c.json").write_text(json.dumps(content))


def voc(root: Path, size: tuple[int, int] | None) -> None:
    x0, y0, x1, y1 = BOX
    box = f"<xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
    declared = f"<size><width>{size[1]}</width><height>{size[0]}</height></size>" if size else ""
    text = f"<annotation>{declared}<object><bndbox>{box}</bndbox></object></annotation>"
    (root / "v.xml").write_text(text)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_and_outlines_of_the_stored_photo_turn_with_it(tmp_path: Path, orientation: int) -> None:
    size = photo(tmp_path, orientation)
    expected = upright(object_mask(), orientation)
    coco(tmp_path, STORED)
    voc(tmp_path, STORED)
    for label in ("c.json", "v.xml"):
        truth = read(tmp_path, label, size)
        assert truth.boxes.tolist() == [corners(expected)]
        assert bool(truth.remark) == (orientation in (2, 3, 4))
    np.testing.assert_array_equal(read(tmp_path, "c.json", size, CLASSES).labels, expected)


@pytest.mark.parametrize("orientation", range(5, 9))
def test_boxes_of_the_upright_photo_stay(tmp_path: Path, orientation: int) -> None:
    size = photo(tmp_path, orientation)
    coco(tmp_path, size)
    voc(tmp_path, size)
    for label in ("c.json", "v.xml"):
        assert read(tmp_path, label, size).boxes.tolist() == [BOX]


def test_a_square_photo_is_turned_with_a_remark(tmp_path: Path) -> None:
    size = photo(tmp_path, 6, (64, 64))
    coco(tmp_path, (64, 64))
    truth = read(tmp_path, "c.json", size)
    assert truth.boxes.tolist() == [corners(upright(object_mask((64, 64)), 6))]
    assert "has EXIF orientation 6 and 64 x 64 pixels both ways; its objects are taken to refer to" in truth.remark


def test_annotations_without_a_size_are_refused_for_a_turned_photo(tmp_path: Path) -> None:
    voc(tmp_path, None)
    with pytest.raises(ImageError, match=r"v\.xml: no size, and photo\.jpg is turned upright \(EXIF orientation 3\)"):
        read(tmp_path, "v.xml", photo(tmp_path, 3))
    assert read(tmp_path, "v.xml", photo(tmp_path, 1)).boxes.tolist() == [BOX]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_label_images_turn_or_are_refused(tmp_path: Path, orientation: int) -> None:
    size = photo(tmp_path, orientation)
    expected = upright(object_mask(), orientation)
    Image.fromarray(object_mask()).save(tmp_path / "stored.png")
    if orientation in (2, 3, 4):
        with pytest.raises(
            ImageError, match=rf"stored\.png: photo\.jpg is turned upright \(EXIF orientation {orientation}\)"
        ):
            read(tmp_path, "stored.png", size, CLASSES)
    else:
        np.testing.assert_array_equal(read(tmp_path, "stored.png", size, CLASSES).labels, expected)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(object_mask()).save(tmp_path / "own.png", exif=exif)
    np.testing.assert_array_equal(read(tmp_path, "own.png", size, CLASSES).labels, expected)
    exif[0x0112] = 1
    Image.fromarray(expected).save(tmp_path / "upright.png", exif=exif)
    np.testing.assert_array_equal(read(tmp_path, "upright.png", size, CLASSES).labels, expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_is_what_pillow_does(orientation: int) -> None:
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    expected = upright(values, orientation)
    np.testing.assert_array_equal(turn_map(values, orientation), expected)
    for value in range(12):
        box = np.array([corners(values == value)])
        assert turn_boxes(box, orientation, expected.shape).tolist() == [corners(expected == value)]
