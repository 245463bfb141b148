"""A new project: its files, its params, and what is refused before anything is written."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import usseg
from usseg.pipeline.errors import ParamsError
from usseg.pipeline.params import read_params
from usseg.pipeline.project import Project
from usseg.results.init import Choices, init_project, scalar
from usseg.results.recipes import RECIPES
from usseg.stages import STAGES

PACKAGE = Path(str(usseg.__file__)).parent


@pytest.fixture
def photos(tmp_path: Path, draw_photo: Callable[..., np.ndarray], save_image: Callable[..., Path]) -> Path:
    """Three photos in two folders, a hidden file and a text file, in a folder whose name YAML could misread."""
    folder = tmp_path / "see: 100 % # photos"
    for number, name in enumerate(("a.jpg", "b.JPG", "more/c.png")):
        save_image(folder / name, draw_photo(number))
    (folder / ".thumbnail.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("")
    return folder


def label(photos: Path, folder: Path) -> Path:
    """Write a label image of zeros and ones for each photo."""
    for photo in list(photos.rglob("*.*")):
        if photo.suffix.lower() in (".jpg", ".png") and not photo.name.startswith("."):
            path = (folder / photo.relative_to(photos)).with_suffix(".png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.eye(48, 64, dtype=np.uint8)).save(path)
    return folder


def test_a_project_has_its_files_and_says_what_it_found(photos: Path, tmp_path: Path) -> None:
    project = tmp_path / "new/project"
    written, found, backbone, following = init_project(project, photos, Choices())
    assert written == f"{project}: params.yaml, .gitignore, .dvcignore, dvc.yaml"
    assert found == "train: 3 images (1 .JPG, 1 .jpg, 1 .png); left out: 1 hidden file, 1 other file (1 .txt)"
    assert backbone.startswith("backbone: lowlevel: HF_HUB_OFFLINE is set, and ")
    assert following == f"next: cd {project} && usseg run"
    for name in ("dvc.yaml", ".dvcignore"):
        assert (project / name).read_bytes() == (PACKAGE / name).read_bytes()
    assert {"/artifacts/", "/.usseg/", "/masks/"} <= set((project / ".gitignore").read_text().splitlines())
    assert (project / ".usseg/stages").resolve() == (PACKAGE / "stages").resolve()
    opened = Project.open(STAGES, project)
    assert opened.index_params["root"] == str(photos)
    assert opened.index_params["splits"] == {"train": {"images": ".", "labels": None, "ids": None}}
    assert opened.fit_split == "train"
    content = read_params(project)
    assert "classes" not in content["index"]
    assert content["features"] == {"backbone": "lowlevel", "resize": 320, "fit": "pad"}
    assert content["segments"]["background"] == "none"
    assert content["cluster"] == {"k": STAGES["cluster"].params.model_fields["k"].default, "norm_std": True}


def test_an_empty_folder_and_a_repeated_init_that_was_killed_are_fine(photos: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    init_project(project, photos, Choices())
    (project / "params.yaml").unlink()  # the last file that is written
    init_project(project, photos, Choices())
    assert (project / "params.yaml").is_file()


def test_labels_bring_classes_and_a_cluster_for_each(photos: Path, tmp_path: Path) -> None:
    labels = label(photos, tmp_path / "truth")
    lines = init_project(tmp_path / "p", photos, Choices(labels=labels, classes=["off", "line, thin"]))
    assert "labels left out" not in "".join(lines)
    content = read_params(tmp_path / "p")
    assert content["index"]["splits"]["train"]["labels"] == str(labels)
    assert content["index"]["classes"] == ["off", "line, thin"]
    assert content["cluster"]["k"] == 2
    init_project(tmp_path / "q", photos, Choices(labels=labels, classes=["off", "line"], clusters=9))
    assert read_params(tmp_path / "q")["cluster"]["k"] == 9


@pytest.mark.parametrize("name", ["dsm", "camvid"])  # camvid brings an index of its own
def test_a_recipe_brings_its_settings_and_the_images_stay_the_users(name: str, photos: Path, tmp_path: Path) -> None:
    init_project(tmp_path / "p", photos, Choices(recipe=name, clusters=7))
    content = read_params(tmp_path / "p")
    for section in set(RECIPES[name].settings) - {"index", "cluster"}:
        assert content[section] == RECIPES[name].settings[section]
    assert content["cluster"] == {**RECIPES[name].settings["cluster"], "k": 7}
    assert content["index"] == {
        "root": str(photos), "splits": {"train": {"images": ".", "labels": None}}, "fit_split": "train",
    }  # fmt: skip


def test_a_layout_brings_splits_labels_and_classes(tmp_path: Path, save_image: Callable[..., Path]) -> None:
    dataset = tmp_path / "ecssd"
    for name in ("0001", "0002"):
        save_image(dataset / f"images/{name}.jpg", np.zeros((8, 8, 3), np.uint8))
        save_image(dataset / f"ground_truth_mask/{name}.png", np.full((8, 8), 255, np.uint8))
    lines = init_project(tmp_path / "p", dataset, Choices(layout="ecssd", backbone="lowlevel"))
    splits = read_params(tmp_path / "p")["index"]["splits"]
    assert lines[1:-1] == [f"{name}: 2 images (2 .jpg)" for name in splits]
    assert all(split["labels"] for split in splits.values())
    assert read_params(tmp_path / "p")["evaluate"]["method"] == "objects"


@pytest.mark.parametrize(
    ("name", "backbone"), [("vit_small_patch16_224.dino", "vit"), ("resnet18.a1_in1k", "cnn")]
)  # fmt: skip
def test_a_network_of_timm_is_a_transformer_or_convolutional(
    name: str, backbone: str, photos: Path, tmp_path: Path
) -> None:
    lines = init_project(tmp_path / "p", photos, Choices(backbone=name))
    features = read_params(tmp_path / "p")["features"]
    assert (features["backbone"], features["options"]) == (backbone, {"name": name})
    assert f"backbone: timm downloads {name} at the first run" in lines
    assert "norm_std" not in read_params(tmp_path / "p")["cluster"]


REFUSED = [
    (Choices(backbone="vit_smal_patch16_224.dino"), r"--backbone: .*timm has no model 'vit_smal_patch16_224\.dino'"),
    (Choices(recipe="dsn"), r"no recipe 'dsn'; did you mean 'dsm'\?"),
    (Choices(layout="ecsd"), r"no dataset 'ecsd'; did you mean 'ecssd'\?"),
    (Choices(classes=["a"]), "--classes names the values of labels; give --labels PATH too"),
    (Choices(labels=Path()), "--labels needs the names of the label values"),
    (Choices(labels=Path("/gone"), classes=["a"]), "--labels: no folder or file /gone"),
    (Choices(recipe="dsm", backbone="resnet18.a1_in1k"), "--recipe dsm brings its backbone"),
    (Choices(recipe="dsm", backbone="lowlevel"), "--recipe dsm brings its backbone"),
    (Choices(layout="ecssd", labels=Path(), classes=["a"]), "--layout ecssd brings labels and classes"),
    (Choices(clusters=99999), r"cluster\.k: found 99999"),
]


@pytest.mark.parametrize(("choices", "message"), REFUSED)
def test_wrong_choices_are_refused_and_nothing_is_written(
    choices: Choices, message: str, photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(ParamsError, match=message):
        init_project(tmp_path / "p", photos, choices)
    assert not (tmp_path / "p").exists()


def test_labels_among_the_images_are_refused(photos: Path, tmp_path: Path) -> None:
    labels = label(photos, photos / "truth")
    with pytest.raises(ParamsError, match=r"truth/a\.png is an image and a label; name folders that do not hold"):
        init_project(tmp_path / "p", photos, Choices(labels=labels, classes=["off", "line"]))
    assert not (tmp_path / "p").exists()


def test_wrong_folders_are_refused_and_nothing_is_written(photos: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "a.txt").write_text("")
    before = sorted(tmp_path.rglob("*"))
    for project, images, message in [
        (tmp_path / "p", tmp_path / "gone", rf"no folder {tmp_path}/gone; name the folder"),
        (tmp_path / "p", bare, rf"no image below {bare}: left out: 1 other file \(1 \.txt\); name another folder"),
        (photos / "p", photos, r"lies in the folder of the images"),
        (photos, photos, r"lies in the folder of the images"),
        (bare / "a.txt", photos, r"a\.txt is a file; name a new folder"),
        (bare / "a.txt/p", photos, r"a\.txt is a file; name a new folder"),
    ]:
        with pytest.raises(ParamsError, match=message):
            init_project(project, images, Choices())
    assert sorted(tmp_path.rglob("*")) == before
    for name in ("params.yaml", "dvc.yaml", ".gitignore"):
        (bare / name).write_text("mine")
        with pytest.raises(ParamsError, match=rf"{bare} already holds (a|another) {name}; name a new folder"):
            init_project(bare, photos, Choices())
        assert (bare / name).read_text() == "mine"
        (bare / name).unlink()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("text", "written"),
    [("/data/holiday", "/data/holiday"), ("/my photos", '"/my photos"'), ("true", '"true"'), ("7", '"7"'), ("é", "é")],
)
def test_a_string_has_quotes_only_where_yaml_needs_them_or_a_space_is_in_it(text: str, written: str) -> None:
    assert scalar(text) == written
