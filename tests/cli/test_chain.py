"""The whole chain by one command, its plans, and the former names of commands."""

import json
import re
from pathlib import Path

import pytest

from usseg.stages import STAGES

LINKS = ("stages", "format.py")


def made(stderr: str) -> set[str]:
    """The stages that a run has computed."""
    return set(re.findall(r"^(\w+@\w+): \d+ images in", stderr, re.MULTILINE))


def test_run_makes_everything_and_then_only_what_an_edit_changes(tiny_project, finished, usseg) -> None:
    done = usseg(tiny_project.path, "run", "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"report: {tiny_project.path}/report/index.html",
        "next: usseg open, to look at the maps and to name the clusters; usseg scores prints the scores",
    ]
    assert "segmenter@train: no chosen method reads it, left empty" in done.stderr
    assert f"no .dvc in {tiny_project.path}: DVC does not track these artifacts" in done.stderr
    published = {name: content for name, content in tiny_project.files().items() if not name.endswith(".run.json")}
    for name in finished.glob("artifacts/*/*.zarr/**/*"):
        if name.is_file():
            assert published[name.relative_to(finished).as_posix()] == name.read_bytes()
    assert (tiny_project.path / "metrics/val.json").read_bytes() == (finished / "metrics/val.json").read_bytes()
    tiny_project.set({"report.max_images": 1})
    assert made(usseg(tiny_project.path, "run", "--workers", "1").stderr) == {"index@train", "index@val", "report@all"}


def test_run_ends_at_the_first_mistake_and_goes_on_there(tiny_project, usseg) -> None:
    photo = tiny_project.path / "data/images/val/photo1.png"
    content = photo.read_bytes()
    photo.write_bytes(b"no image")
    done = usseg(tiny_project.path, "run", "--workers", "1")
    assert done.returncode == 1
    assert made(done.stderr) == {"index@train"}
    assert re.fullmatch(r"usseg: index@val: .*photo1\.png: not an image .*", done.stderr.splitlines()[-1])
    photo.write_bytes(content)
    assert usseg(tiny_project.path, "run", "--workers", "1").returncode == 0


def test_plan_writes_a_file_for_each_stage_and_split_and_links_the_code(tiny_project, usseg) -> None:
    tiny_project.set({"segments.method": "kmeans"})
    done = usseg(tiny_project.path.parent, "plan", "--project", str(tiny_project.path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    plans = {
        path.parent.name: json.loads(path.read_text()) for path in tiny_project.path.glob("artifacts/plan/*/*.json")
    }
    assert set(plans) == set(STAGES)
    assert {name for name, plan in plans.items() if plan.get("needed") is False} == {"eigen", "segmenter"}
    assert all((tiny_project.path / ".usseg" / name).is_symlink() for name in LINKS)
    shown = usseg(tiny_project.path, "stage", "eigen", "--split", "val")
    assert "eigen@val: no chosen method reads it, left empty" in shown.stderr


def test_a_stage_draws_the_links_to_the_code_anew(tiny_project, usseg) -> None:
    usseg(tiny_project.path, "stage", "index", "--split", "val")
    for name in LINKS:
        link = tiny_project.path / ".usseg" / name
        assert link.exists()
        link.unlink()
        link.symlink_to("/gone")
    usseg(tiny_project.path, "stage", "index", "--split", "val")
    assert all((tiny_project.path / ".usseg" / name).exists() for name in LINKS)


def test_names_of_earlier_versions_work_and_are_not_shown(finished_project, usseg) -> None:
    stages = usseg(finished_project.path, "stage", "--help").stdout
    assert re.search(r"^\W*segmenter\s", stages, re.MULTILINE)
    assert not re.search(r"^\W*model\s", stages, re.MULTILINE)
    assert "--if-needed" not in usseg(finished_project.path, "stage", "eigen", "--help").stdout
    done = usseg(finished_project.path, "stage", "model", "--if-needed")
    assert done.returncode == 0, done.stderr
    assert "segmenter@train: no chosen method reads it, left empty" in done.stderr
    assert usseg(finished_project.path, "stage", "eigen", "--split", "val", "--if-needed").stderr == (
        "eigen@val is up to date\n"
    )


@pytest.mark.parametrize("below", ["data/images/train", "artifacts"])
def test_a_project_is_found_from_a_folder_below(below: str, finished_project, usseg) -> None:
    folder = finished_project.path / below
    assert usseg(folder, "stage", "cluster").stderr == "cluster@train is up to date\n"
    assert usseg(folder, "scores").returncode == 0
    assert usseg(folder, "plan").returncode == 0
    assert (finished_project.path / "artifacts/plan/cluster/train.json").is_file()
    assert not (folder / "artifacts").exists()


def test_outside_of_a_project_every_command_says_so(usseg, tmp_path: Path) -> None:
    for command in (["run"], ["plan"], ["params"], ["scores"], ["stage", "cluster"]):
        done = usseg(tmp_path, *command)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            f"usseg: no params.yaml in {tmp_path}; run in the project folder or pass --project DIR\n"
        )
    assert list(tmp_path.iterdir()) == []


def test_params_shows_every_value_and_where_it_is_from(tiny_project, usseg) -> None:
    tiny_project.set({"cluster.options.n_init": 3})
    shown = usseg(tiny_project.path, "params").stdout
    for name, stage in STAGES.items():
        assert re.search(rf"\b{name}\b", shown)
        assert all(key in shown for key in stage.params.model_fields if key != "options")
    rows = {
        row[0]: row[1:]
        for line in usseg(tiny_project.path, "params", "cluster", COLUMNS="300").stdout.splitlines()
        if len(row := [cell.strip() for cell in re.split("[│┃]", line)[1:-1]]) > 1 and row[0]
    }
    assert rows["k"] == ["2", "params.yaml", STAGES["cluster"].params.model_fields["k"].description]
    assert rows["options.n_init"][:2] == ["3", "params.yaml"]
    assert rows["options.metric"][:2] == ['"l2"', "default"]
    assert rows["pca"][:2] == ["0", "default"]
    wrong = usseg(tiny_project.path, "params", "clusters")
    assert wrong.stderr.startswith("usseg: no stage 'clusters'; did you mean 'cluster'? (known: index, ")


def test_methods_are_listed_with_what_they_are_and_read(usseg, tmp_path: Path) -> None:
    shown = usseg(tmp_path, "methods", COLUMNS="400").stdout
    for name, stage in STAGES.items():
        if stage.methods is None:
            continue
        assert f"{name}.{stage.choice}" in shown
        only = usseg(tmp_path, "methods", name, COLUMNS="400").stdout
        for method, entry in stage.methods().items():
            row = next(line for line in only.splitlines() if re.match(rf"\W*{re.escape(method)}\s", line))
            assert entry.summary[:40] in row
            assert next(iter(entry.options.model_fields), "") in row
    wrong = usseg(tmp_path, "methods", "segment")
    assert wrong.stderr.startswith("usseg: no stage 'segment'; did you mean ")
