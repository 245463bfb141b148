"""COCO files: matching of images, refused content, and label images drawn from outlines."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from usseg.pipeline.errors import ImageError
from usseg.pipeline.label_values import LabelValues
from usseg.pipeline.outlines import run_lengths
from usseg.pipeline.truth import Truth, read_truth

SIZE = (48, 64)
BOXES = LabelValues()
SQUARE = [10, 5, 30, 5, 30, 25, 10, 25]


def write(root: Path, images: list, annotations: list, categories: list | None = None) -> None:
    content = {"images": images, "annotations": annotations, "categories": categories or []}
    (root / "c.json").write_text(json.dumps(content))


def named(name: str, number: int = 0) -> dict:
    return {"id": number, "file_name": name, "width": SIZE[1], "height": SIZE[0]}


def read(root: Path, image: str = "a.png", values: LabelValues = BOXES) -> Truth:
    (root / image).parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", SIZE[::-1]).save(root / image)
    return read_truth(root, "c.json", image, SIZE, values)


def boxed(root: Path, *names: str) -> None:
    """An image for each name, with a box that begins at its number."""
    images = [named(name, number) for number, name in enumerate(names)]
    write(root, images, [{"image_id": number, "bbox": [number, 0, 5, 5]} for number in range(len(names))])


@pytest.mark.parametrize(
    ("names", "image", "expected"),
    [
        (["b/0001.png", "a/0001.png"], "i/a/0001.png", 1),
        (["b\\0001.png", "a\\0001.png"], "i/a/0001.png", 1),
        (["0001.png", "i/a/0001.png", "a/0001.png"], "i/a/0001.png", 1),
        (["/home/me/i/b/0001.png", "/home/me/i/a/0001.png"], "a/0001.png", 1),
        (["C:\\data\\b\\0001.png", "C:\\data\\a\\0001.png"], "a/0001.png", 1),
        (["./a//0001.png"], "a/0001.png", 0),
        (["0001.png"], "deep/down/0001.png", 0),
        (["my%20photo.png"], "my photo.png", 0),
        (["e\u0301.png"], "\u00e9.png", 0),
        (["root/a.png", "other/a.png"], "a.png", 0),
    ],
)
def test_the_longest_path_that_fits_is_taken(tmp_path: Path, names: list[str], image: str, expected: int) -> None:
    root = tmp_path / "root"
    root.mkdir()
    boxed(root, *names)
    assert read(root, image).boxes[0, 0] == expected


@pytest.mark.parametrize(
    ("names", "image", "line"),
    [
        (["x/a.png", "y/a.png"], "a.png", "'x/a.png' and 'y/a.png' fit the image 'a.png' equally well"),
        (["a.png", "a.png"], "a.png", "fit the image 'a.png' equally well; write its folders in file_name"),
        (["b/0001.png"], "a/0001.png", "it knows no image 'a/0001.png', only 'b/0001.png'"),
        (["xa.png"], "a.png", "it knows no image 'a.png'; add it"),
    ],
)
def test_an_image_that_is_not_meant_gets_nothing(tmp_path: Path, names: list[str], image: str, line: str) -> None:
    boxed(tmp_path, *names)
    with pytest.raises(ImageError) as error:
        read(tmp_path, image)
    assert line in str(error.value)


IMAGE = [named("a.png")]
RLE = {"size": [48, 64], "counts": [48 * 10 + 5, 20, 28, 20, 48 * 64 - 48 * 10 - 73]}
BAD = {
    "annotations[0]: found 1; an object is needed": (IMAGE, [1]),
    "images[0]: found 'a'; an object is needed": (["a"], []),
    "images[0] (id 5): file_name: found 5; a path is needed": ([{**named("a"), "file_name": 5, "id": 5}], []),
    "images[0]: file_name: found None": ([{"id": 0, "width": 1, "height": 1}], []),
    "images[0]: width: found None; a whole number from 1 on": ([{**named("a.png"), "width": None}], []),
    "images[0]: height: found -3": ([{**named("a.png"), "height": -3}], []),
    "images[0]: width: found True": ([{**named("a.png"), "width": True}], []),
    "images[0]: width: found inf": ([{**named("a.png"), "width": float("inf")}], []),
    "images[0]: no 'id'; it must name an image": ([{"file_name": "a.png"}], []),
    "images[0] (id [1]): id: found [1]": ([{**named("a.png"), "id": [1]}], []),
    "images[1] (id 0): the id 0 is taken by 'a.png'": ([named("a.png"), named("b.png")], []),
    "annotations[0] (id 7): image_id: found 9; no image has this id": (IMAGE, [{"id": 7, "image_id": 9}]),
    "annotations[0]: no 'image_id'": (IMAGE, [{"bbox": [1, 1, 1, 1]}]),
    "annotations[0]: bbox: found [1, 2, 3]; four finite": (IMAGE, [{"image_id": 0, "bbox": [1, 2, 3]}]),
    "annotations[0]: bbox: found 'x'": (IMAGE, [{"image_id": 0, "bbox": "x"}]),
    "annotations[0]: bbox: found [nan, 1, 1, 1]": (IMAGE, [{"image_id": 0, "bbox": [float("nan"), 1, 1, 1]}]),
    "annotations[0]: bbox: found [inf, 1, 1, 1]": (IMAGE, [{"image_id": 0, "bbox": [float("inf"), 1, 1, 1]}]),
    "annotations[0]: bbox: found [1e+300, 1, 1, 1]": (IMAGE, [{"image_id": 0, "bbox": [1e300, 1, 1, 1]}]),
    "annotations[0]: bbox: found [None, 1, 1, 1]": (IMAGE, [{"image_id": 0, "bbox": [None, 1, 1, 1]}]),
    "annotations[0]: bbox: found [True, 1, 1, 1]": (IMAGE, [{"image_id": 0, "bbox": [True, 1, 1, 1]}]),
    "annotations[0]: the box [3, 3, 0, 5] of 'a.png' has no area": (IMAGE, [{"image_id": 0, "bbox": [3, 3, 0, 5]}]),
    "annotations[0]: the box [9, 9, -5, 5] of 'a.png' has no": (IMAGE, [{"image_id": 0, "bbox": [9, 9, -5, 5]}]),
    "annotations[0]: no bbox; [x, y, width, height]": (IMAGE, [{"image_id": 0}]),
    "annotations[0]: iscrowd: found 'yes'; 0 or 1": (IMAGE, [{"image_id": 0, "iscrowd": "yes", "bbox": [1, 1, 1, 1]}]),
    "the box [60, 0, 90, 5] reaches out of the image a.png": (IMAGE, [{"image_id": 0, "bbox": [60, 0, 30, 5]}]),
}  # fmt: skip


@pytest.mark.parametrize("line", BAD)
def test_what_is_no_coco_file_is_one_line_with_the_object(tmp_path: Path, line: str) -> None:
    write(tmp_path, *BAD[line])
    with pytest.raises(ImageError) as error:
        read(tmp_path)
    assert str(error.value).startswith(f"{tmp_path / 'c.json'}: ")
    assert line in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("5", "found 5; images and annotations are needed"),
        ('{"images": 5, "annotations": []}', "found 5; images must be a list"),
        ('{"images": {"a": 1}, "annotations": []}', "images must be a list"),
        ("\xff\xfe", "no instances of COCO"),
        ('{"images": [' + "9" * 5000 + "]}", "no instances of COCO"),
        ("", "no instances of COCO"),
    ],
)
def test_text_that_is_no_coco_file_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "c.json").write_text(text, encoding="latin-1")
    with pytest.raises(ImageError) as error:
        read(tmp_path)
    assert line in str(error.value)
    assert len(str(error.value)) < 500


CATEGORIES = [{"id": 3, "name": "cat"}, {"id": 8, "name": "dog"}]
EXPECTED = np.zeros(SIZE, int)
EXPECTED[5:25, 10:30] = 1


def outlined(root: Path, *segmentations, crowd: tuple[int, ...] = (), categories: tuple[int, ...] = (3, 8)) -> None:
    write(
        root, IMAGE,
        [
            {"image_id": 0, "category_id": categories[i], "segmentation": one, "iscrowd": int(i in crowd)}
            for i, one in enumerate(segmentations)
        ],
        CATEGORIES,
    )  # fmt: skip


def labels(
    root: Path, *classes: str, label_values: tuple[str, ...] = (), ignore: tuple[int, ...] = (255,)
) -> np.ndarray:
    return read(root, values=LabelValues(classes, label_values, ignore)).labels


def test_polygons_are_label_images(tmp_path: Path) -> None:
    outlined(tmp_path, [SQUARE])
    np.testing.assert_array_equal(labels(tmp_path, "background", "cat", "dog"), EXPECTED)
    np.testing.assert_array_equal(labels(tmp_path, "cat", "dog"), EXPECTED - 1)
    np.testing.assert_array_equal(labels(tmp_path, "dog", "rest", "cat"), EXPECTED + 1)
    np.testing.assert_array_equal(labels(tmp_path, "background", "object"), EXPECTED)
    np.testing.assert_array_equal(labels(tmp_path, "ground", "animal", label_values=("0", "3, 8")), EXPECTED)
    np.testing.assert_array_equal(labels(tmp_path, "animal", label_values=("3, 8",)), EXPECTED - 1)
    np.testing.assert_array_equal(labels(tmp_path, "background", "cat", "dog", ignore=(0,)), np.where(EXPECTED, 1, -1))
    np.testing.assert_array_equal(labels(tmp_path, "background", "cat", "dog", ignore=(3,)), np.where(EXPECTED, -1, 0))


def test_later_objects_are_in_front_and_crowds_are_not_scored(tmp_path: Path) -> None:
    right = [20, 5, 40, 5, 40, 25, 20, 25]
    outlined(tmp_path, [SQUARE], [right])
    both = EXPECTED.copy()
    both[5:25, 20:40] = 2
    np.testing.assert_array_equal(labels(tmp_path, "background", "cat", "dog"), both)
    outlined(tmp_path, [SQUARE], [right], crowd=(1,))
    both[5:25, 20:40], both[5:25, 20:30] = -1, 1
    np.testing.assert_array_equal(labels(tmp_path, "background", "cat", "dog"), both)


def test_run_lengths_of_both_spellings(tmp_path: Path) -> None:
    from pycocotools import mask as coco_mask

    rng = np.random.default_rng(1)
    for _ in range(20):
        mask = (rng.random(SIZE) < rng.random()).astype(np.uint8)
        mask[:, : rng.integers(0, 60)] = rng.integers(0, 2)
        packed = coco_mask.encode(np.asfortranarray(mask))
        counts = packed["counts"].decode()
        plain = run_lengths({"counts": counts}, "here")
        for one in (counts, plain):
            outlined(tmp_path, {"size": list(SIZE), "counts": one})
            np.testing.assert_array_equal(labels(tmp_path, "background", "object"), mask)


BAD_OUTLINES = {
    "annotations[0]: no segmentation": (None, [SQUARE]),
    "annotations[1]: no segmentation": ([SQUARE], []),
    "annotations[0]: segmentation: found [1.0, 2.0, 3.0, 4.0]; polygons": ([[1, 2, 3, 4]],),
    "annotations[0]: segmentation: found ['a', 'b']; polygons": ([["a", "b"]],),
    "annotations[0]: segmentation: found [nan": ([[float("nan"), *SQUARE[1:]]],),
    "annotations[0]: segmentation: found 'x'": ("x",),
    "annotations[0]: segmentation: found 7": ([7],),
    "annotations[0]: the corner [1000.0, 5.0] is outside of 64 x 48 pixels": ([[10, 5, 1000, 5, 30, 25]],),
    "run lengths of 5 pixels and size [48, 64] for an image of 64 x 48": ({"size": [48, 64], "counts": [2, 3]},),
    "and size [64, 48] for an image of 64 x 48": ({**RLE, "size": [64, 48]},),
    "counts: found no run lengths": ({"size": [48, 64], "counts": [5000, -1928]},),
    "counts: found the character '!'": ({"size": [48, 64], "counts": "a!"},),
    "for an image of 64 x 48; size": ({"size": [48, 64], "counts": [10**15]},),
}


@pytest.mark.parametrize("line", BAD_OUTLINES)
def test_outlines_that_do_not_fit_are_one_line_with_the_object(tmp_path: Path, line: str) -> None:
    outlined(tmp_path, *BAD_OUTLINES[line])
    with pytest.raises(ImageError) as error:
        labels(tmp_path, "background", "cat", "dog")
    assert line in str(error.value)
    assert len(str(error.value)) < 500


def test_classes_that_are_no_categories(tmp_path: Path) -> None:
    outlined(tmp_path, [SQUARE])
    with pytest.raises(
        ImageError, match=r"'background' and 'dgo' are no categories; did you mean 'dog'\?; one class may"
    ):
        labels(tmp_path, "background", "cat", "dgo")
    outlined(tmp_path, [SQUARE], categories=(4,))
    with pytest.raises(ImageError, match=r"annotations\[0\]: category_id: found 4; an id in categories is needed"):
        labels(tmp_path, "background", "cat", "dog")


def test_without_classes_or_outlines_the_boxes_count(tmp_path: Path) -> None:
    one = {"image_id": 0, "category_id": 3, "bbox": [10, 5, 20, 20], "segmentation": [SQUARE]}
    write(tmp_path, IMAGE, [one], CATEGORIES)
    assert read(tmp_path).kind == "boxes"
    write(tmp_path, IMAGE, [{**one, "segmentation": []}], CATEGORIES)
    assert read(tmp_path, values=LabelValues(("cat", "dog"))).kind == "boxes"


def test_many_annotations_are_read_quickly(tmp_path: Path) -> None:
    write(tmp_path, IMAGE, [{"image_id": 0, "bbox": [1, 1, 5, 5], "segmentation": [SQUARE]}] * 20_000)
    started = time.process_time()
    assert len(read(tmp_path).boxes) == 20_000
    assert time.process_time() - started < 10
