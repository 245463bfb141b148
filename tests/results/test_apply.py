"""usseg save and usseg apply: new photos get the masks that a split of the project with these photos would give."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import usseg
from usseg.pipeline.artifact import open_artifact
from usseg.pipeline.errors import ArtifactError, ImageError, ParamsError
from usseg.pipeline.execution import Execution
from usseg.pipeline.project import Project as Opened
from usseg.pipeline.runner import run_stage
from usseg.results.applied_stages import applied_stages, finished_stages
from usseg.results.export.writing import Request, export_masks
from usseg.results.names import write_names
from usseg.stages import STAGES

CHAINS: dict[str, dict[str, Any]] = {
    "segments": {"refine.method": "guided_filter"},
    "kmeans": {"segments.method": "kmeans", "features.fit": "pad", "features.resize": 40},
    "acg": {"segments.method": "acg", "crops.method": "mean", "segments.background": "none"},
    "sempart": {"segments.method": "sempart", "segmenter.method": "sempart", "segmenter.options.epochs": 2},
    "primaps_em": {"cluster.method": "primaps_em", "cluster.rows": "tokens", "cluster.options.epochs": 1},
    "tokens": {"cluster.rows": "tokens", "refine.upsampling": "stretch"},
    "abc": {"cluster.method": "abc", "cluster.options.epochs": 2, "cluster.pca": 4},
    "collision": {"assign.background_collision": True, "features.fit": "square", "features.resize": 40},
}


@pytest.fixture(scope="session", params=CHAINS)
def chain(
    request: pytest.FixtureRequest, finished: Path, copied, tmp_path_factory, new_photos: Path, save_file, run_finished
) -> tuple[Any, Path]:
    """A finished project with a third split, `new`, of the new photos; and its file, saved before that split was run."""
    project = copied(finished, tmp_path_factory.mktemp(request.param))
    project.set({"cluster.k": 3, **CHAINS[request.param]})
    run_finished(project)
    write_names(Opened.open(STAGES, project.path), ["1=grass & co", "2=sky"])
    file = tmp_path_factory.mktemp("saved") / "meadow.usseg"
    save_file(project.path, file)
    splits = Opened.open(STAGES, project.path).index_params["splits"]
    project.set({"index.splits": {**splits, "new": {"images": str(new_photos)}}})
    run_finished(project, "new")
    return project, file


def test_masks_are_those_of_a_split(chain: tuple[Any, Path], new_photos: Path, tmp_path: Path, apply_file) -> None:
    project, file = chain
    out = tmp_path / "masks new"
    apply_file(file, new_photos, out, "voc", "coco", "overlay", keep=True)
    project_of_split = Opened.open(STAGES, project.path)
    for name in applied_stages(project_of_split).applied[1:]:
        here, there = (
            open_artifact(root / f"artifacts/{name}/new.zarr") for root in (out / ".usseg-apply", project.path)
        )
        assert here.attrs["content"] == there.attrs["content"], name
    list(export_masks(project_of_split, Request(("voc", "coco", "overlay"), split="new", out=tmp_path / "split")))
    masks = {path.relative_to(out): path for path in out.rglob("*.png") if ".usseg-apply" not in path.parts}
    assert sorted(path.stem for path in masks) == ["B", "a", "c", "d"]
    for path in [*masks, *map(Path, ("overlay/new/a.jpg", "voc/new/labelmap.txt", "manifest-new.csv"))]:
        if path.suffix != ".csv":
            assert (out / path).read_bytes() == (tmp_path / "split" / path).read_bytes(), path
    assert '"grass & co"' in (out / "coco/new/instances.json").read_text()


def test_the_map_of_an_image_in_python(chain: tuple[Any, Path], new_photos: Path) -> None:
    project, file = chain
    fitted = usseg.load(str(file))
    assert fitted.names == {1: "grass & co", 2: "sky"}
    refine, index, assign = (project.artifact(name, "new") for name in ("refine", "index", "assign"))
    for i, path in enumerate(index["path"]):
        labels, scores = fitted.segment(path, name=index["id"][i], device="cpu")
        assert labels.dtype == np.int16
        np.testing.assert_array_equal(labels, refine["maps"][i])
        assert scores.shape == labels.shape
        known = assign["margin"][i][assign["labels"][i] >= 0]
        assert set(np.unique(scores)) <= set(np.unique(known))
    with Image.open(index["path"][0]) as image:
        pixels = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(fitted.segment(pixels, name=index["id"][0]).labels, refine["maps"][0])


def test_a_file_needs_no_project_and_none_of_its_images(
    finished, copied, tmp_path: Path, new_photos: Path, save_file, apply_file
) -> None:
    project = copied(finished, tmp_path / "project")
    file = tmp_path / "elsewhere/meadow.usseg"
    lines = save_file(project.path, file)
    expected = apply_file(file, new_photos, tmp_path / "before")
    assert lines == [
        f"{file}: {file.stat().st_size:,} bytes: params, cluster@train",
        f"next: usseg apply {file} FOLDER --out masks-new --format coco",
    ]
    shutil.rmtree(project.path)
    assert [line.replace("after", "before") for line in apply_file(file, new_photos, tmp_path / "after")] == expected
    before, after = (sorted((tmp_path / name).rglob("*.png")) for name in ("before", "after"))
    assert [path.read_bytes() for path in before] == [path.read_bytes() for path in after]
    assert len(before) == 4
    assert not list((tmp_path / "after").glob(".usseg-apply"))


def test_equal_projects_give_equal_bytes(finished, copied, tmp_path: Path, save_file) -> None:
    for name in ("one", "other"):
        project = copied(finished, tmp_path / name)
        save_file(project.path, tmp_path / f"{name}.usseg")
    save_file(tmp_path / "one", tmp_path / "one.usseg")  # it is replaced
    assert (tmp_path / "one.usseg").read_bytes() == (tmp_path / "other.usseg").read_bytes()


def test_what_is_left_out_is_said(
    meadow: Path, new_photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, apply_file
) -> None:
    photos = Path(shutil.copytree(new_photos, tmp_path / "photos"))
    (photos / "notes.txt").write_text("none")
    (photos / ".hidden.jpg").write_bytes(b"")
    (photos / "broken.jpg").write_bytes((photos / "a.jpg").read_bytes()[:200])
    lines = apply_file(meadow, photos, tmp_path / "out")
    assert (
        lines[0] == "new: 5 images (2 .jpg, 1 .JPEG, 1 .JPG, 1 .jpeg); left out: 1 hidden file, 1 other file (1 .txt)"
    )
    assert lines[1] == "4 photos are segmented, 1 left out, because they cannot be read"
    assert any("broken.jpg" in line and "skipped" in line for line in caplog.messages)


def test_no_photo_can_be_read(meadow: Path, tmp_path: Path, apply_file) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/broken.jpg").write_bytes(b"none")
    with pytest.raises(ImageError, match=r"broken\.jpg"):
        apply_file(meadow, tmp_path / "photos", tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"formats": ("vok",)}, r"no format 'vok'"),
        ({"only": ("sly",)}, r"--only: no class 'sly' \(known: cluster 1, cluster 2\)"),
        ({"out": "photos/masks"}, "is inside the folder of the photos"),
        ({"out": "photos/a.jpg"}, "is inside the folder of the photos"),
        ({"out": "file"}, "file is a file; name a folder"),
        ({"photos": "nowhere"}, "no folder .*nowhere; name the folder of the new photos"),
        ({"photos": "empty"}, "no image below .*empty; name another folder"),
    ],
)
def test_a_refusal_writes_nothing(
    meadow, new_photos, tmp_path: Path, options: dict[str, Any], line: str, apply_file
) -> None:
    shutil.copytree(new_photos, tmp_path / "photos")
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    places = {"photos": tmp_path / options.pop("photos", "photos"), "out": tmp_path / options.pop("out", "out")}
    with pytest.raises(ParamsError, match=line):
        apply_file(meadow, places["photos"], places["out"], *options.pop("formats", ("voc",)), **options)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_unfinished_project_is_not_saved(finished_project, tmp_path: Path, save_file) -> None:
    finished_project.set({"cluster.k": 3})
    with pytest.raises(ArtifactError, match=r"cluster\.k: 2, params\.yaml says 3; run: usseg stage cluster"):
        save_file(finished_project.path, tmp_path / "meadow.usseg")
    finished_project.run("cluster")
    with pytest.raises(ArtifactError, match="assign@train is not of the present params, code and inputs"):
        save_file(finished_project.path, tmp_path / "meadow.usseg")
    with pytest.raises(ParamsError, match=r"a file whose name ends with \.usseg is needed"):
        save_file(finished_project.path, tmp_path / "meadow.zip")
    assert not list(tmp_path.glob("meadow*"))


def test_segments_have_maps_in_python_but_no_masks(
    finished_project, new_photos: Path, tmp_path: Path, save_file, apply_file, run_finished
) -> None:
    finished_project.set(
        {
            "segments.method": "tokencut",
            "refine.source": "segments",
            "segments.background": "border",
            "evaluate.method": "objects",
        }
    )
    run_finished(finished_project)
    file = tmp_path / "objects.usseg"
    assert save_file(finished_project.path, file)[0].endswith("bytes: params")
    with pytest.raises(ParamsError, match=r"a label means another segment in each image.*\.segment\(image\) gives the"):
        apply_file(file, new_photos, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    fitted = usseg.load(file)
    photo = finished_project.path / "data/images/val/photo1.png"
    labels, scores = fitted.segment(photo)
    assert scores is None
    assert fitted.names == {}
    np.testing.assert_array_equal(labels, run_finished(finished_project, "val")[1])


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_an_array_that_is_no_image(meadow: Path, image: np.ndarray) -> None:
    with pytest.raises(ImageError, match=r"uint8 RGB \(height, width, 3\) is needed"):
        usseg.load(meadow).segment(image)


def test_weights_are_for_files(finished, meadow) -> None:
    with pytest.raises(ParamsError, match="refine@val is no file of usseg save, so that weights are not read"):
        usseg.load("refine@val", finished, weights="dino.pth")


def test_a_fit_split_that_is_called_new(
    tiny_project, tmp_path_factory, new_photos: Path, save_file, apply_file
) -> None:
    folder = tmp_path_factory.mktemp("saved")
    tiny_project.set({"index.splits": {"new": {"images": "images/train/*"}}, "index.fit_split": "new"})
    opened = Opened.open(STAGES, tiny_project.path)
    for name in finished_stages(opened):
        run_stage(opened, name, "new", Execution())
    save_file(tiny_project.path, folder / "meadow.usseg")
    lines = apply_file(folder / "meadow.usseg", new_photos, folder / "out")
    assert lines[0].startswith("photos: 4 images")
    assert lines[-1] == f"voc@photos: 4 files -> {folder}/out/voc/photos"
