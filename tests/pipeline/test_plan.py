"""Plans: everything besides inputs that decides a result, as DVC reads it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from usseg.pipeline import plan
from usseg.pipeline.project import Project, find_root
from usseg.stages import STAGES

ROOT = Path(__file__).resolve().parents[2]


def plans(root: Path) -> dict[str, dict]:
    return {path.relative_to(root / plan.FOLDER).as_posix(): json.loads(path.read_text())
            for path in plan.written_plans(root)}  # fmt: skip


def written(tiny_project) -> dict[str, dict]:
    plan.write_plans(Project.open(STAGES, tiny_project.path))
    return plans(tiny_project.path)


def test_a_plan_for_each_stage_and_split(tiny_project) -> None:
    found = written(tiny_project)
    assert {
        f"{name}/{split}.json" for name in ("index", "features", "eigen", "segments") for split in ("train", "val")
    } <= set(found)
    assert {"segmenter/train.json", "cluster/train.json", "report/all.json"} <= set(found)
    assert found["segmenter/train.json"] == {"stage": "segmenter", "needed": False}
    assert found["eigen/val.json"]["params"]["k"] == 5
    assert set(found["crops/val.json"]["code"]) == {"crops", "features"}


@pytest.mark.parametrize(
    ("edits", "changed"),
    [
        ({"eigen.k": 6}, {"eigen/train.json", "eigen/val.json"}),
        ({"segments.method": "acg"}, {f"{name}/{split}.json" for name in ("eigen", "segments") for split in ("train", "val")} | {"segmenter/train.json"}),
        ({"features.dtype": "float32"}, set()),  # the default, written out
        ({"index.classes": ["a", "b"]}, {f"{name}/{split}.json" for name in ("index", "evaluate") for split in ("train", "val")} | {"report/all.json"}),
    ],
)  # fmt: skip
def test_an_edit_changes_the_plans_that_it_concerns(edits: dict, changed: set[str], tiny_project) -> None:
    before = written(tiny_project)
    tiny_project.set(edits)
    after = written(tiny_project)
    assert {name for name in {*before, *after} if before.get(name) != after.get(name)} == changed


def test_the_code_of_a_shared_package_is_in_the_plan_of_the_stage_and_of_those_that_call_it(tiny_project) -> None:
    stages = {**STAGES, "features": replace(STAGES["features"], shares=("eigen",))}  # any package
    project = Project.open(stages, tiny_project.path)
    assert set(plan.plan_of(project, "features", "val")["code"]) == {"features", "eigen"}
    assert set(plan.plan_of(project, "crops", "val")["code"]) == {"crops", "features", "eigen"}
    assert set(plan.plan_of(project, "refine", "val")["code"]) == {"refine", "grids"}


def test_a_new_split_leaves_the_plans_of_others(tiny_project) -> None:
    before = written(tiny_project)
    splits = {"train": {"images": "images/train/*", "labels": "labels/train/*"}, "extra": {"images": "images/val/*"}}
    tiny_project.set({"index.splits": splits})
    after = written(tiny_project)
    assert before["index/train.json"] == after["index/train.json"]
    assert before["report/all.json"] != after["report/all.json"]
    assert "index/extra.json" in after
    assert "index/val.json" not in after


def test_plans_that_stay_are_not_written_again(tiny_project) -> None:
    written(tiny_project)
    times = {path: path.stat().st_mtime_ns for path in plan.written_plans(tiny_project.path)}
    written(tiny_project)
    assert times == {path: path.stat().st_mtime_ns for path in plan.written_plans(tiny_project.path)}


def test_the_content_of_a_named_file_is_in_the_plan(tiny_project) -> None:
    tiny_project.set({"features.backbone": "checkpoint", "features.options.weights": "w.pth"})
    (tiny_project.path / "w.pth").write_bytes(b"one")
    before = written(tiny_project)
    (tiny_project.path / "w.pth").write_bytes(b"two")
    after = written(tiny_project)
    assert {name.partition("/")[0] for name in before if before[name] != after[name]} == {"features", "crops"}


def test_links_to_the_code_lead_to_what_is_installed(tmp_path: Path) -> None:
    plan.link_code(tmp_path)
    assert (tmp_path / ".usseg/.gitignore").read_text() == "*\n"
    for name, target in plan.LINKS.items():
        link = tmp_path / ".usseg" / name
        assert link.is_symlink()
        assert link.resolve() == (ROOT / target).resolve()
    made = {name: (tmp_path / ".usseg" / name).lstat().st_mtime_ns for name in plan.LINKS}
    plan.link_code(tmp_path)
    assert made == {name: (tmp_path / ".usseg" / name).lstat().st_mtime_ns for name in plan.LINKS}
    (tmp_path / ".usseg/stages").unlink()
    (tmp_path / ".usseg/stages").symlink_to(tmp_path / "gone")  # another environment
    plan.link_code(tmp_path)
    assert (tmp_path / ".usseg/stages").resolve() == (ROOT / "stages").resolve()


def test_links_that_a_copy_made_folders_of_are_links_again(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    plan.link_code(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert not (tmp_path / "two/.usseg/stages").is_symlink()
    plan.link_code(tmp_path / "two")
    assert all((tmp_path / "two/.usseg" / name).is_symlink() for name in plan.LINKS)
    assert (tmp_path / "two/.usseg/stages").resolve() == (ROOT / "stages").resolve()


def test_a_project_is_found_from_any_folder_below(tiny_project) -> None:
    deep = tiny_project.path / "data/images/train"
    assert find_root(deep) == tiny_project.path.resolve()
    assert find_root(tiny_project.path) == tiny_project.path.resolve()


def test_a_folder_without_a_project_is_its_own_root(tmp_path: Path) -> None:
    assert find_root(tmp_path) == tmp_path.resolve()
