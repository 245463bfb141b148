"""The line of the index about all files: taken, left out, unreadable."""

import json
import os
import shutil
import socket
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from usseg.pipeline.errors import ImageError, ParamsError

SHARED = Path(__file__).resolve().parents[3] / "shared/faults"


@pytest.fixture(autouse=True)
def told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")


def use(project, images, labels=None, ids: str | None = None, **edits) -> None:
    split = {"images": images, "labels": labels, "ids": ids}
    project.set({"index.splits": {"train": split}, **{f"index.{key}": value for key, value in edits.items()}})


def closing(project, caplog) -> str:
    """The line that accounts for everything."""
    project.run("index")
    return next(record.message for record in reversed(caplog.records) if " in " not in record.message.partition(";")[0])


def test_everything_is_accounted_for(tiny_project, caplog, save_image, draw_photo) -> None:
    data = tiny_project.path / "data"
    folder = data / "images/train"
    (folder / "photo1.png").rename(folder / "photo1.PNG")
    (data / "labels/train/photo1.png").rename(data / "labels/train/photo1.PNG")
    for name in (".DS_Store", "Thumbs.db", "notes.txt", "bad.jpg", "extra.jpg"):
        (folder / name).write_text("no image")
    (folder / ".hidden").mkdir()
    save_image(data / "labels/train/photo9.png", np.zeros((48, 64), np.uint8))
    (data / "labels/train/._photo1.png").write_text("")
    (data / "ids.txt").write_text("photo0 1\nphoto1 0\nphoto2 -1\nbad 1\n")
    use(tiny_project, "images/train", "labels/train", "ids.txt", on_error="skip")
    assert closing(tiny_project, caplog) == (
        "index@train: 2 images (1 .PNG, 1 .png); left out: 2 hidden files, 1 hidden folder, 1 other file (1 .txt), "
        "2 not in ids.txt, 1 with the flag -1 in ids.txt, 1 unreadable (skipped); "
        "labels left out: 1 hidden file, 1 without an image"
    )
    assert "index@train: ids.txt: 4 lines have a flag: 1 and 0 keep an image, -1 leaves it out" in caplog.messages
    assert any("index@train: skipped: " in line and "bad.jpg: no label file" in line for line in caplog.messages)


def test_nothing_left_out_is_a_short_line(tiny_project, caplog) -> None:
    assert closing(tiny_project, caplog) == "index@train: 4 images (4 .png)"


def spoilt(path: Path, kind: str) -> None:
    path.unlink(missing_ok=True)
    if kind == "dangling":
        path.symlink_to("gone.png")
    elif kind == "FIFO":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            os.chdir(path.parent)
            listener.bind(path.name)
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_text("no image")


@pytest.mark.parametrize("side", ["images", "labels"])
@pytest.mark.parametrize("kind", ["dangling", "FIFO", "socket", "folder", "text"])
def test_a_bad_half_skips_the_pair(tiny_project, caplog, monkeypatch, side: str, kind: str) -> None:
    monkeypatch.chdir(tiny_project.path)
    spoilt(tiny_project.path / f"data/{side}/train/photo1.png", kind)
    with pytest.raises(
        ImageError,
        match=rf"^index@train: .*{side}/train/photo1\.png: .*; mend or remove it, or set index\.on_error: skip$",
    ):
        tiny_project.run("index")
    tiny_project.set({"index.on_error": "skip"})
    assert closing(tiny_project, caplog) == "index@train: 3 images (3 .png); left out: 1 unreadable (skipped)"
    assert tiny_project.artifact("index")["id"] == ["photo0", "photo2", "photo3"]


def test_an_image_without_a_label(tiny_project, caplog) -> None:
    data = tiny_project.path / "data"
    (data / "labels/train/photo3.png").unlink()
    (data / "images/train/notes.txt").write_text("")
    with pytest.raises(ParamsError, match=r"no label file for image 'notes'; .* \(and 1 more without one\)"):
        tiny_project.run("index")
    tiny_project.set({"index.on_error": "skip"})
    assert closing(tiny_project, caplog).endswith("left out: 2 unreadable (skipped)")
    assert any("photo3.png: no label file for it" in line for line in caplog.messages)


def test_labels_in_any_case_and_spelling(tiny_project, save_image) -> None:
    data = tiny_project.path / "data"
    for i in range(4):
        source = data / f"labels/train/photo{i}.png"
        source.rename(source.with_suffix(".PNG"))
    for labels in (
        "labels/train/*.png",
        "labels/train",
        ["labels/train/photo[01].png", "labels/train/photo[23].{png,gif}"],
    ):
        use(tiny_project, ["images/train/*.PNG"], labels)
        assert tiny_project.run("index")["label_path"][2] == "labels/train/photo2.PNG"
    content = {
        "images": [{"id": i, "file_name": f"photo{i}.png", "height": 48, "width": 64} for i in range(4)],
        "annotations": [],
    }
    (data / "boxes.JSON").write_text(json.dumps(content))
    use(tiny_project, "images/train", "*.json")
    assert tiny_project.run("index")["label_path"] == ["boxes.JSON"] * 4


def test_pages_behind_the_first_are_counted(tiny_project, caplog, draw_photo) -> None:
    data = tiny_project.path / "data"
    pages = [Image.fromarray(draw_photo(seed)) for seed in range(3)]
    for name in ("a.tif", "b.gif"):
        pages[0].save(data / name, save_all=True, append_images=pages[1:])
    use(tiny_project, ["*.tif", "*.gif", "images/train/photo0.png"])
    assert closing(tiny_project, caplog) == (
        "index@train: 3 images (1 .gif, 1 .png, 1 .tif); left out: 4 pages behind the first (a.tif and 1 more)"
    )


def test_what_pillow_warns_of_names_the_file(tiny_project, caplog, recwarn, draw_photo) -> None:
    """EXIF that ends too early, in two files."""
    for name in ("a", "b"):
        exif = Image.Exif()
        exif[0x010E] = "description" * 4
        path = tiny_project.path / f"data/{name}.jpg"
        Image.fromarray(draw_photo(0)).save(path, exif=exif)
        content = path.read_bytes()
        start = content.index(b"Exif\0\0")
        length = int.from_bytes(content[start - 2 : start], "big")
        rest = content[start : start + length - 22] + content[start + length - 2 :]
        path.write_bytes(content[: start - 2] + (length - 20).to_bytes(2, "big") + rest)
    use(tiny_project, "*.jpg")
    for workers in (1, 3):
        caplog.clear()
        tiny_project.run("index", workers=workers)
        data = tiny_project.path / "data"
        for name in ("a", "b"):
            assert f"index@train: {data / name}.jpg: Truncated File Read" in caplog.messages
        assert not recwarn.list


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("channels", [3, 4])
def test_colours_of_16_bits_are_told(tiny_project, caplog, suffix: str, channels: int) -> None:
    cv2.imwrite(str(tiny_project.path / f"data/deep.{suffix}"), np.full((8, 9, channels), 40_000, np.uint16))
    use(tiny_project, [f"deep.{suffix}", "images/train"])
    tiny_project.run("index")
    assert f"index@train: only the upper 8 of 16 bits a colour are read (deep.{suffix})" in caplog.messages


def test_the_limit_of_pixels_can_be_raised(tiny_project, caplog) -> None:
    use(tiny_project, "images/train/*", "labels/train/*", max_pixels=48 * 64 - 1)
    with pytest.raises(
        ImageError, match=r"photo0\.png: found 64 x 48 = 3,072 pixels; index\.max_pixels allows 3,071, raise"
    ):
        tiny_project.run("index")
    use(tiny_project, "images/train/*", "labels/train/*", max_pixels=48 * 64)
    assert tiny_project.run("index").num_images == 4
    Image.new("L", (100, 100)).save(tiny_project.path / "data/labels/train/photo2.png")
    with pytest.raises(ImageError, match=r"labels/train/photo2\.png: found 100 x 100 = 10,000 pixels"):
        tiny_project.run("index")


def test_images_elsewhere_are_told(tiny_project, caplog, monkeypatch, save_image, draw_photo) -> None:
    monkeypatch.setenv("HOME", str(tiny_project.path / "home"))
    save_image(tiny_project.path / "home/pictures/a.png", draw_photo(0))
    for images in ("~/pictures", "../home/pictures/*.png", str(tiny_project.path / "home/pictures")):
        caplog.clear()
        use(tiny_project, images)
        index = tiny_project.run("index")
        assert index["id"] == ["a"]
        assert (tiny_project.path / "data" / index["path"][0]).exists()
        assert any("not below index.root, so that dvc does not see" in line for line in caplog.messages)
    use(tiny_project, "pictures/*", root="~")
    tiny_project.run("index")
    assert tiny_project.run("features").num_images == 1


def test_names_that_differ_in_composition_are_a_pair(tiny_project, save_image, draw_photo) -> None:
    data = tiny_project.path / "data"
    save_image(data / "i/cafe\u0301.png", draw_photo(0))
    save_image(data / "l/caf\u00e9.png", np.zeros((48, 64), np.uint8))
    (data / "ids.txt").write_text("cafe\u0301\n")
    use(tiny_project, "i/*", "l/*", "ids.txt")
    index = tiny_project.run("index")
    assert index["id"] == ["caf\u00e9"]
    assert (data / index["path"][0]).exists()
    assert (data / index["label_path"][0]).exists()


GIVEN = {
    "11_junk_ds_store": ["p0", "p1"],
    "11_junk_thumbnails": ["p0", "p1"],
    "12_ids_bom": ["p0", "p1"],
    "12_ids_two_columns": ["p0"],
    "12_ids_voc_flags": ["p0"],
    "13_nfd_nfc": ["caf\u00e9"],
    "14_brackets_in_folder": ["a"],
    "15_uppercase_ext_images": ["IMG_3", "p0", "p1"],
    "16_symlinked_folder": ["p0", "p1"],
    "18_multipage_tiff": ["stack"],
}


@pytest.mark.skipif(not SHARED.exists(), reason="no ../shared/faults beside the clone")
@pytest.mark.parametrize("case", GIVEN)
def test_the_given_faults(tiny_project, case: str) -> None:
    shutil.copytree(SHARED / case / "data", tiny_project.path / "case", symlinks=True)
    settings = YAML(typ="safe").load(SHARED / case / "settings.yaml")["index"]
    tiny_project.set({f"index.{key}": value for key, value in {**settings, "root": "case"}.items()})
    found = tiny_project.run("index")["id"]
    linked = (tiny_project.path / "case/i/linked").is_dir()  # the copy may have lost its link
    assert found == (["linked/z", *GIVEN[case]] if linked else GIVEN[case])
