"""The chain on truth that used to go wrong in silence: own inputs, and the cases of ../shared/faults where they are."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from usseg.pipeline.errors import UssegError
from usseg.pipeline.label_values import LabelValues
from usseg.pipeline.truth import read_truth

FAULTS = Path(__file__).resolve().parents[3] / "shared/faults"
OBJECTS = {
    "segments.method": "tokencut",
    "segments.background": "border",
    "refine.source": "segments",
    "evaluate.method": "objects",
}
OBJECT_CHAIN = ("index", "features", "segments", "refine", "evaluate")
CLASS_CHAIN = ("index", "features", "eigen", "segments", "crops", "cluster", "assign", "refine", "evaluate")


def scored(project, chain: tuple[str, ...]) -> dict[str, Any]:
    for name in chain:
        project.run(name)
    return project.scores("train")


@pytest.fixture
def case(tiny_project):
    """Lay a case of the faults over the tiny project."""

    def lay(name: str):
        if not FAULTS.exists():
            pytest.skip("../shared/faults is not there")
        shutil.rmtree(tiny_project.path / "data", ignore_errors=True)
        shutil.rmtree(tiny_project.path / "artifacts", ignore_errors=True)
        shutil.copytree(FAULTS / name / "data", tiny_project.path / "data", copy_function=shutil.copyfile)
        settings = YAML(typ="safe").load((FAULTS / name / "settings.yaml").read_text())
        tiny_project.set(
            {f"{section}.{key}": value for section, keys in settings.items() for key, value in keys.items()}
        )
        return tiny_project

    return lay


def test_a_mask_of_one_bit_scores_as_one_of_255(case) -> None:
    first, second = (scored(case(name), OBJECT_CHAIN) for name in ("01_mask_255", "01_mask_1bit"))
    assert first == second
    assert first["iou"] > 0


def test_own_masks_of_one_bit_score_as_those_of_255(tiny_project) -> None:
    tiny_project.set({"index.label_values": ["0-127", "128-255"], "index.ignore": [255], **OBJECTS})
    found = []
    mask = np.tile((np.arange(64) < 32).astype(np.uint8) * 255, (48, 1))
    for mode in ("L", "1", "RGB", "P"):
        for path in (tiny_project.path / "data/labels/train").iterdir():
            Image.fromarray(mask).convert(mode).save(path)
        found.append(scored(tiny_project, OBJECT_CHAIN))
    assert found[0]["iou"] > 0
    assert all(one == found[0] for one in found)


def test_raw_values_to_ignore(case) -> None:
    project = case("02_ignore_raw0")
    found = scored(project, CLASS_CHAIN)
    assert all(value is not None for value in found["per_class"].values())
    raw = [np.asarray(Image.open(path)) for path in (project.path / "data/l").iterdir()]
    expected = [sum(int((part == value).sum()) for part in raw) for value in (1, 2)]
    assert project.artifact("evaluate")["confusion"][:].sum(axis=0).tolist() == expected


def test_nothing_to_score(case, caplog: pytest.LogCaptureFixture) -> None:
    found = scored(case("04_all_ignored"), CLASS_CHAIN)
    assert (found["miou"], found["accuracy"]) == (None, None)
    assert "nothing to score for miou, accuracy" in caplog.text


def test_a_class_without_a_pixel(case, caplog: pytest.LogCaptureFixture) -> None:
    case("05_mask_0_255_default_ignore").run("index")
    assert "class obj has no pixel in train; 255 is in index.ignore" in caplog.text


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("03_label_values_short", r"index\.label_values: .*1 entries for the 2 of index\.classes"),
        ("07_xml_box_swapped", r"p.\.xml: object . \(.*\): the box .* has no area"),
        ("10_duplicate_class_names", r"index\.classes: .* is named twice"),
    ],
)
def test_what_is_refused(case, name: str, line: str) -> None:
    with pytest.raises(UssegError, match=line):
        case(name).run("index")


def test_images_of_one_base_name(case) -> None:
    project = case("06_coco_same_basename")
    index = project.run("index")
    content = json.loads((project.path / "data/c.json").read_text())
    names = {one["id"]: one["file_name"] for one in content["images"]}
    for image, size in zip(index["path"], index["size"][:].tolist(), strict=True):
        boxes = [one["bbox"] for one in content["annotations"] if image.endswith(names[one["image_id"]])]
        found = read_truth(project.path / "data", "c.json", image, tuple(size), LabelValues()).boxes
        np.testing.assert_array_equal(found, [[x, y, x + w, y + h] for x, y, w, h in boxes])


def test_boxes_of_a_photo_that_exif_turns(case) -> None:
    assert scored(case("08_exif6_coco_raw_frame"), OBJECT_CHAIN)["num_scored"] == 2


def test_a_class_name_with_dollars(case) -> None:
    assert "$100% $" in scored(case("09_class_name_dollar"), CLASS_CHAIN)["per_class"]
