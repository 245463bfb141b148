"""The whole way of a person with photos: init, run, name, export, save, and apply to later photos."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from usseg.pipeline.artifact import open_artifact

SUFFIXES = (".jpg", ".JPG", ".jpeg", ".JPEG")
FORMATS = ("voc", "coco", "cvat", "labelme", "label-studio", "overlay")
CLASS_OF = np.array([0, 1, 2, 1])  # labels 1 and 3 are named alike


def masks_of(folder: Path) -> dict[str, np.ndarray]:
    """Id -> classes of the masks in VOC's form."""
    return {path.stem: np.asarray(Image.open(path)) for path in (folder / "SegmentationClass").glob("*.png")}


def masks_of_coco(file: Path) -> dict[str, np.ndarray]:
    """Id -> classes of the masks in COCO's form, read by pycocotools."""
    from pycocotools.coco import COCO

    coco = COCO(str(file))
    found = {}
    for image in coco.imgs.values():
        classes = np.zeros((image["height"], image["width"]), np.uint8)
        for annotation in coco.imgToAnns[image["id"]]:
            classes[coco.annToMask(annotation) > 0] = annotation["category_id"]
        found[Path(image["file_name"]).stem] = classes
    return found


def same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert found.keys() == wanted.keys()
    for name, classes in wanted.items():
        np.testing.assert_array_equal(found[name], classes)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
def test_photos_to_named_masks_and_to_masks_of_later_photos(
    tmp_path: Path, usseg, draw_photo: Callable[..., np.ndarray], save_image: Callable[..., Path]
) -> None:
    def said(folder: Path, *arguments: str) -> str:
        done = usseg(folder, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    photos, later, project = tmp_path / "my photos", tmp_path / "later photos", tmp_path / "meadow"
    for number in range(12):
        save_image(photos / f"photo{number:02d}{SUFFIXES[number % 4]}", draw_photo(number))
    for number in range(4):
        save_image(later / f"later{number}{SUFFIXES[number]}", draw_photo(100 + number))
    said(tmp_path, "init", "meadow", "my photos", "--backbone", "lowlevel")
    said(project, "run", "--workers", "1", "--clusters", "3")
    said(project, "name", "1=grass", "3=grass", "2=sky")
    said(project, "export", "--format", ",".join(FORMATS))
    assert {path.name for path in (project / "masks").iterdir()} == {*FORMATS, "manifest-train.csv"}

    refined, ids = (open_artifact(project / f"artifacts/{name}/train.zarr") for name in ("refine", "index"))
    wanted = {name: CLASS_OF[refined["maps"][i]] for i, name in enumerate(ids["id"])}
    assert len(wanted) == 12
    assert {value for classes in wanted.values() for value in np.unique(classes)} == {1, 2}
    voc = project / "masks/voc/train"
    assert (voc / "classes.txt").read_text() == "background\ngrass\nsky\n"
    same(masks_of(voc), wanted)
    same(masks_of_coco(project / "masks/coco/train/instances.json"), wanted)

    said(project, "save", str(tmp_path / "meadow.usseg"))
    photos, away = tmp_path / "away", photos
    away.rename(photos)  # neither the photos nor the project are needed
    project.rename(tmp_path / "elsewhere")
    arguments = ("--out", "masks of later", "--format", "voc,coco", "--workers", "1", "--device", "cpu")
    said(tmp_path, "apply", "meadow.usseg", "later photos", *arguments)
    applied = masks_of(tmp_path / "masks of later/voc/new")
    same(masks_of_coco(tmp_path / "masks of later/coco/new/instances.json"), applied)

    # The project itself gives the later photos the same masks, as a split.
    photos.rename(away)
    (tmp_path / "elsewhere").rename(project)
    for photo in later.iterdir():
        (away / photo.name).write_bytes(photo.read_bytes())
    yaml = YAML()
    params = yaml.load((project / "params.yaml").read_text())
    params["index"]["splits"] = {"train": {"images": "photo*"}, "later": {"images": "later*"}}
    with (project / "params.yaml").open("w") as stream:
        yaml.dump(params, stream)
    said(project, "run", "--workers", "1")
    said(project, "export", "--format", "voc", "--split", "later", "--out", "again")
    split = masks_of(project / "again/voc/later")
    assert len(split) == 4
    same(applied, split)
