"""From a folder of photos to the page: `usseg init`, then `usseg run`."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from usseg.pipeline.params import read_params

ROOT = Path(__file__).resolve().parents[2]
SUFFIXES = (".jpg", ".JPG", ".jpeg", ".JPEG")


@pytest.fixture
def photos(tmp_path: Path, draw_photo: Callable[..., np.ndarray], save_image: Callable[..., Path]) -> Path:
    """12 photos, three of each spelling of the suffix, in a folder with a space in its name."""
    folder = tmp_path / "my photos"
    for number in range(12):
        save_image(folder / f"photo{number:02d}{SUFFIXES[number % 4]}", draw_photo(number))
    return folder


def test_the_photos_of_a_folder_become_a_page(photos: Path, usseg, tmp_path: Path) -> None:
    made = usseg(tmp_path, "init", "my project", "my photos")
    assert (made.returncode, made.stderr) == (0, "")
    _, found, backbone, following = made.stdout.splitlines()
    assert found == "train: 12 images (3 .JPEG, 3 .JPG, 3 .jpeg, 3 .jpg)"
    assert backbone.startswith("backbone: lowlevel: HF_HUB_OFFLINE is set, and ")
    assert following == "next: cd 'my project' && usseg run"
    project = tmp_path / "my project"
    assert f'root: "{photos}"' in (project / "params.yaml").read_text()
    assert (project / "dvc.yaml").read_bytes() == (ROOT / "dvc.yaml").read_bytes()
    below = project / "below"
    below.mkdir()
    done = usseg(below, "run", "--workers", "1", "--clusters", "3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "params.yaml: cluster.k is 3 now",
        f"report: {project}/report/index.html",
        "next: usseg open, to look at the maps and to name the clusters; "
        "usseg run --clusters K makes more or fewer clusters than 3",
    ]
    assert (project / "report/index.html").is_file()
    assert list(below.iterdir()) == []
    assert read_params(project)["cluster"]["k"] == 3
    assert "index@train: 12 images (3 .JPEG, 3 .JPG, 3 .jpeg, 3 .jpg)" in done.stderr.splitlines()
    again = usseg(project, "run", "--workers", "1", "--clusters", "2")
    assert "segments@train is up to date" in again.stderr
    assert re.search(r"^cluster@train: 12 images in", again.stderr, re.MULTILINE)
    same = usseg(project, "run", "--workers", "1", "--clusters", "2")
    assert same.stdout.startswith("params.yaml: cluster.k is 2 already\n")


def test_a_project_in_the_working_directory(photos: Path, usseg, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    made = usseg(tmp_path / "p", "init", ".", "../my photos", "--clusters", "4")
    assert made.stdout.splitlines()[-1] == "next: usseg run"
    assert read_params(tmp_path / "p")["cluster"]["k"] == 4


def test_a_file_name_gives_no_orders_to_the_terminal(photos: Path, usseg, tmp_path: Path) -> None:
    (photos / "notes.a\x1b[2Jb").write_text("")
    made = usseg(tmp_path, "init", "p", "my photos")
    assert "\x1b" not in made.stdout
    assert "1 other file (1 .a\\x1b[2Jb)" in made.stdout


def test_a_mistake_is_one_line(photos: Path, usseg, tmp_path: Path) -> None:
    usseg(tmp_path, "init", "p", "my photos")
    for args, message in [
        (["p", "my photos"], f"{tmp_path}/p already holds a params.yaml; name a new folder, or edit that file"),
        (["q", "my foto"], f"no folder {tmp_path}/my foto; name the folder that holds the images"),
        (["q", "my photos", "--recipe", "dsn"], "no recipe 'dsn'; did you mean 'dsm'? (known: "),
    ]:
        done = usseg(tmp_path, "init", *args)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert done.stderr.startswith(f"usseg: {message}")
    before = (tmp_path / "p/params.yaml").read_text()
    done = usseg(tmp_path / "p", "run", "--clusters", "99999")
    assert done.returncode == 1
    assert done.stderr.startswith("usseg: params.yaml: cluster.k: found 99999; ")
    assert (tmp_path / "p/params.yaml").read_text() == before


def test_the_help_begins_with_what_to_type_first(usseg, tmp_path: Path) -> None:
    shown = usseg(tmp_path).stdout
    assert re.search(r"Usage: .*\n\W*First: `?usseg init NAME IMAGES`?, then `?cd NAME && usseg run`?\.", shown)
    commands = re.findall(r"^│ (\w+)", shown, re.MULTILINE)
    assert commands[:2] == ["init", "run"]
