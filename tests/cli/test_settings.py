"""The commands that write params.yaml: recipes and datasets."""

import re
from pathlib import Path

import pytest

from usseg.pipeline.params import read_params
from usseg.results.recipes import RECIPES

ROOT = Path(__file__).resolve().parents[2]


def test_recipes_are_listed(usseg, tmp_path: Path) -> None:
    lines = usseg(tmp_path, "recipe", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(RECIPES)
    assert len({line.index(RECIPES[line.split()[0]].summary) for line in lines}) == 1  # in a column


def test_a_recipe_is_applied_and_comments_stay(usseg, tmp_path: Path) -> None:
    before = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(before)
    done = usseg(tmp_path, "recipe", "apply", "dsm")
    assert done.returncode == 0, done.stderr
    assert "features.backbone: 'lowlevel' -> 'vit'" in done.stdout.splitlines()
    after = (tmp_path / "params.yaml").read_text()
    comments = [re.sub(r"\s+", " ", line[line.index("#") :]) for line in before.splitlines() if "#" in line]
    assert len(comments) > 10
    squeezed = re.sub(r"\s+", " ", after)
    assert [comment for comment in comments if comment not in squeezed] == [
        "# pixels of the longer side"
    ]  # its key goes
    content = read_params(tmp_path)
    for section, settings in RECIPES["dsm"].settings.items():
        assert {key: content[section][key] for key in settings} == settings
    again = usseg(tmp_path, "recipe", "apply", "dsm")
    assert again.stdout == "params.yaml already holds recipe dsm\n"
    assert (tmp_path / "params.yaml").read_text() == after


@pytest.mark.parametrize("section", ["segments: 5", "segments:", "segments: [1]"])
@pytest.mark.parametrize("command", [("recipe", "apply", "dsm"), ("dataset", "apply", ".", "--layout", "voc2012")])
def test_a_section_that_holds_no_keys_is_one_line(
    usseg, tmp_path: Path, command: tuple[str, ...], section: str
) -> None:
    before = re.sub(r"^segments:\n(  .*\n|\n)+", f"{section}\n", (ROOT / "params.yaml").read_text(), flags=re.MULTILINE)
    (tmp_path / "params.yaml").write_text(before)
    done = usseg(tmp_path, *command)
    assert done.returncode == 1
    assert re.fullmatch(
        r"usseg: params\.yaml: segments: found (5|None|\[1\]); a section with keys .*needed\n", done.stderr
    )
    assert (tmp_path / "params.yaml").read_text() == before


def test_dataset(finished, usseg, tmp_path: Path) -> None:
    assert re.search(r"^voc2012 +PASCAL VOC 2012", usseg(tmp_path, "dataset", "list").stdout, re.MULTILINE)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    done = usseg(tmp_path, "dataset", "check", str(finished / "data"), "--layout", "voc2012")
    assert done.returncode == 1
    assert done.stdout.startswith("train: no file matches 'JPEGImages/*.jpg' below")
    assert usseg(tmp_path, "dataset", "check", ".", "--layout", "vok2012").stderr.startswith(
        "usseg: no dataset 'vok2012'"
    )
    (tmp_path / "voc").mkdir()
    assert usseg(tmp_path, "dataset", "apply", "voc", "--layout", "voc2012").returncode == 0
    content = read_params(tmp_path)
    assert content["index"]["classes"][15] == "person"
    assert (content["index"]["fit_split"], content["cluster"]["k"]) == ("unlabelled", 21)


def test_fewer_clusters_than_classes_get_a_line(usseg, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    for folder in ("city", "voc"):
        (tmp_path / folder).mkdir()
    assert "cannot be found" not in usseg(tmp_path, "dataset", "apply", "city", "--layout", "cityscapes27").stderr
    assert read_params(tmp_path)["cluster"]["k"] == 27
    done = usseg(tmp_path, "recipe", "apply", "dsm")
    assert done.returncode == 0
    assert done.stderr == (
        "params.yaml: cluster.k: 21 labels for 27 classes: 6 of them cannot be found; add 6 to cluster.k\n"
    )
    assert usseg(tmp_path, "dataset", "apply", "voc", "--layout", "voc2012").stderr == ""
    assert read_params(tmp_path)["cluster"]["k"] == 20  # and the background
    assert "21 labels for 21" not in usseg(tmp_path, "recipe", "apply", "otc").stderr
    assert usseg(tmp_path, "dataset", "apply", "voc", "--layout", "voc2012").stderr == ""
    assert read_params(tmp_path)["cluster"]["k"] == 21  # one of them is the background's label too
    assert usseg(tmp_path, "recipe", "apply", "dsm-objects").stderr == ""


def test_a_dataset_is_found_from_any_folder(usseg, tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "voc").mkdir()
    (tmp_path / "project/params.yaml").write_text((ROOT / "params.yaml").read_text())
    apply = ("dataset", "apply", "voc", "--layout", "bsds500")
    done = usseg(tmp_path, *apply, "--project", "project")
    assert done.returncode == 0, done.stderr
    assert read_params(tmp_path / "project")["index"]["root"] == str(tmp_path / "voc")
    nothing = usseg(tmp_path / "project", *apply)
    assert (nothing.returncode, nothing.stderr) == (1, "usseg: no folder voc; name the one that holds the dataset\n")
    (tmp_path / "project/voc").mkdir()
    assert usseg(tmp_path / "project", *apply).returncode == 0
    assert read_params(tmp_path / "project")["index"]["root"] == "voc"
