import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from usseg.pipeline.errors import ImageError, ParamsError
from usseg.pipeline.files import file_checksum

TRAIN = "index.splits"


def use(project, images: str, labels: str | None = None, **edits) -> None:
    project.set({TRAIN: {"train": {"images": images, "labels": labels}}, **edits})


def test_ids_sizes_paths_and_checksums(tiny_project) -> None:
    index = tiny_project.run("index")
    data = tiny_project.path / "data"
    assert index["id"] == [f"photo{i}" for i in range(4)]
    assert index["path"][1] == "images/train/photo1.png"
    assert index["label_path"][1] == "labels/train/photo1.png"
    np.testing.assert_array_equal(index["size"], [[48, 64]] * 4)
    assert index["checksum"][2] == file_checksum(data / "images/train/photo2.png")
    assert index["label_checksum"][2] == file_checksum(data / "labels/train/photo2.png")


def test_sizes_are_those_after_exif_rotation(tiny_project, draw_photo) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(draw_photo(0)).save(tiny_project.path / "data/turned.jpg", exif=exif)
    use(tiny_project, "*.jpg")
    np.testing.assert_array_equal(tiny_project.run("index")["size"], [[64, 48]])


def test_order_of_files_on_disk_does_not_matter(tiny_project) -> None:
    tiny_project.run("index")
    before = tiny_project.files("artifacts/index/train.zarr")
    folder = tiny_project.path / "data/images/train"
    for path in sorted(folder.iterdir(), reverse=True):
        shutil.copy(path, folder / "copy")
        path.unlink()
        (folder / "copy").rename(path)
    tiny_project.run("index")
    assert tiny_project.files("artifacts/index/train.zarr") == before


def test_nested_folders_and_odd_names(tiny_project, save_image, draw_photo) -> None:
    names = ["b/a.b", "a/été 1", "a/写真", "a/x"]
    for name in names:
        save_image(tiny_project.path / f"data/deep/{name}.png", draw_photo(0))
    save_image(tiny_project.path / "data/deep/not deep enough.png", draw_photo(0))
    use(tiny_project, "deep/*/*.png")
    index = tiny_project.run("index")
    assert index["id"] == sorted(names)
    assert sorted(index["path"]) == sorted(f"deep/{name}.png" for name in names)
    use(tiny_project, "deep/**/*.png")
    assert tiny_project.run("index").num_images == 5


def test_without_labels(tiny_project) -> None:
    use(tiny_project, "images/train/*", None)
    index = tiny_project.run("index")
    assert index["label_path"] == [""] * 4


def broken_photo(project) -> None:
    (project.path / "data/images/train/photo1.png").write_text("no image")


def strange_label(project) -> None:
    labels = np.zeros((48, 64), np.uint8)
    labels[0, 0] = 7
    Image.fromarray(labels).save(project.path / "data/labels/train/photo1.png")


def other_size(project) -> None:
    Image.fromarray(np.zeros((64, 48), np.uint8)).save(project.path / "data/labels/train/photo1.png")


def colored_label(project) -> None:
    Image.fromarray(np.full((48, 64, 3), (1, 2, 3), np.uint8)).save(project.path / "data/labels/train/photo1.png")


BAD_FILES = [
    (broken_photo, r"images/train/photo1\.png: not an image that Pillow can read"),
    (strange_label, r"labels/train/photo1\.png: found label value 7; index\.classes declares 0 to 1 and .*\[255\]"),
    (other_size, r"labels/train/photo1\.png: labels of 48 x 64 for an image of 64 x 48"),
    (colored_label, r"labels/train/photo1\.png: found mode RGB; labels need one channel"),
]


@pytest.mark.parametrize(("spoil", "line"), BAD_FILES)
def test_a_bad_file_stops_the_run_with_its_name(tiny_project, spoil, line: str) -> None:
    spoil(tiny_project)
    with pytest.raises(ImageError, match=line + r".*; mend or remove it, or set index\.on_error: skip$"):
        tiny_project.run("index")
    assert not tiny_project.files()


@pytest.mark.parametrize(("spoil", "line"), BAD_FILES)
def test_a_bad_file_is_skipped_and_named(tiny_project, caplog, spoil, line: str) -> None:
    spoil(tiny_project)
    tiny_project.set({"index.on_error": "skip"})
    index = tiny_project.run("index")
    assert index["id"] == ["photo0", "photo2", "photo3"]
    assert len(index["size"][:]) == index.num_images == 3
    assert "photo1.png" in caplog.text


def test_several_bad_files_are_counted(tiny_project) -> None:
    for path in (tiny_project.path / "data/images/train").iterdir():
        path.write_text("no image")
    with pytest.raises(ImageError, match=r"photo0\.png: .* \(and 3 more bad files\)"):
        tiny_project.run("index")
    tiny_project.set({"index.on_error": "skip"})
    with pytest.raises(ImageError, match="and 3 more"):
        tiny_project.run("index")


@pytest.mark.parametrize(
    ("images", "labels", "line"),
    [
        ("imgs/*", None, r"index\.splits\.train\.images: no file matches 'imgs/\*' below .*data"),
        ("images/train/*", "lables/*", r"index\.splits\.train\.labels: no file matches 'lables/\*'"),
        ("images/train/*", "labels/val/*", r"train\.labels: no label file for image 'photo2'; add it, or set"),
        ("/images/*", None, r"index\.splits\.train\.images: found '/images/\*'; a glob below index\.root is needed"),
        ("", None, r"index\.splits\.train\.images: found ''; a glob below index\.root is needed"),
    ],
)
def test_globs_that_do_not_fit(tiny_project, images: str, labels: str | None, line: str) -> None:
    use(tiny_project, images, labels)
    with pytest.raises(ParamsError, match=line):
        tiny_project.run("index")


@pytest.mark.parametrize("kind", ["images", "labels"])
def test_two_files_with_one_stem(tiny_project, kind: str) -> None:
    folder = tiny_project.path / "data" / kind / "train"
    shutil.copy(folder / "photo0.png", folder / "photo0.bmp")
    with pytest.raises(ParamsError, match=rf"{kind}: photo0\.bmp and photo0\.png share the id 'photo0'; rename one"):
        tiny_project.run("index")


def test_a_name_that_is_no_text_is_refused(tiny_project) -> None:
    source = tiny_project.path / "data/images/train/photo0.png"
    try:
        source.rename(source.with_name("caf\udce9.png"))
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    use(tiny_project, "images/train/*")
    with pytest.raises(ParamsError, match=r"caf\\udce9\.png.*; rename it"):
        tiny_project.run("index")


def test_classes_do_not_change_the_list(tiny_project) -> None:
    tiny_project.run("index")
    before = tiny_project.files("artifacts/index/train.zarr")
    tiny_project.set({"index.classes": ["west", "east"]})
    tiny_project.run("index")
    assert tiny_project.files("artifacts/index/train.zarr") == before


def test_workers_do_not_change_the_list(tiny_project) -> None:
    tiny_project.run("index")
    before = tiny_project.files("artifacts/index/train.zarr")
    tiny_project.run("index", workers=4)
    assert tiny_project.files("artifacts/index/train.zarr") == before


def test_a_label_file_that_is_gone_later_is_named(finished_project) -> None:
    (finished_project.path / "data/labels/train/photo2.png").unlink()
    finished_project.set({"evaluate.options.absent": "zero"})
    before = Path(finished_project.path / "metrics/train.json").read_text()
    with pytest.raises(ImageError, match=r"labels/train/photo2\.png: no such file"):
        finished_project.run("evaluate")
    assert Path(finished_project.path / "metrics/train.json").read_text() == before


def test_a_list_file_picks_images(tiny_project) -> None:
    data = tiny_project.path / "data"
    (data / "ids.txt").write_text("photo3\nphoto1\n\n")
    split = {"images": "images/train/*", "labels": "labels/train/*", "ids": "ids.txt"}
    tiny_project.set({TRAIN: {"train": split}})
    assert tiny_project.run("index")["id"] == ["photo1", "photo3"]
    (data / "ids.txt").write_text("photo1\nphoto9\n")
    with pytest.raises(ParamsError, match=r"splits\.train\.ids: 'photo9' is listed in ids\.txt, but .* has no such"):
        tiny_project.run("index")
    (data / "ids.txt").unlink()
    with pytest.raises(ParamsError, match=r"ids\.txt: No such file or directory; a text file with an id a line"):
        tiny_project.run("index")


def test_an_id_between_fixed_ends(tiny_project, save_image, draw_photo) -> None:
    save_image(tiny_project.path / "data/a/x_photo.png", draw_photo(0))
    save_image(tiny_project.path / "data/b/city/x_mask.png", np.zeros((48, 64), np.uint8))
    use(tiny_project, "a/{id}_photo.png", "b/city/{id}_mask.png")
    index = tiny_project.run("index")
    assert index["id"] == ["x"]
    assert index["label_path"] == ["b/city/x_mask.png"]
