"""The runner on a table of two stages: resume, staleness, schema, bad splits, a full disk."""

import errno
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from usseg.pipeline import blocks, runner
from usseg.pipeline.artifact import ArraySpec, open_artifact
from usseg.pipeline.errors import ArtifactError, ParamsError
from usseg.pipeline.params import Params
from usseg.pipeline.project import Project
from usseg.pipeline.stage import Input, Stage

COUNT = 80


class IndexParams(Params):
    root: str = "."
    splits: dict[str, str]
    classes: list[str] = []
    ignore: list[int] = []


class SquareParams(Params):
    power: int = 2


def run_index(params, inputs, images, execution):
    return {"id": [f"image-{i}" for i in range(COUNT)], "size": np.full((COUNT, 2), 7, np.int32)}


calls: list[int] = []
fail_at: list[int] = []
edit_at: list[int] = []


def run_power(params, inputs, images, execution):
    if images.start in fail_at:
        raise RuntimeError("killed")
    if edit_at and images.start == edit_at[0]:
        write_params(inputs.project, 3)
    calls.append(images.start)
    base = np.asarray(images, np.float32)[:, None] * np.ones(6000, np.float32)
    return {"power": base**params.power}


INDEX = Stage(
    "index", "list", 1, IndexParams, (),
    {"id": ArraySpec(("image",), "str", "id"), "size": ArraySpec(("image", "side"), "int32", "px")},
    run_index, record=lambda params, split: {"root": params.root},
)  # fmt: skip
POWER = Stage(
    "power", "powers", 1, SquareParams, (Input("index"),),
    {"power": ArraySpec(("image", "value"), "float32", "powers")},
    run_power, sizes=lambda params, inputs: {"value": 6000},
)  # fmt: skip
TABLE = {"index": INDEX, "power": POWER}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_params(tmp_path, 2)
    calls.clear()
    fail_at.clear()
    edit_at.clear()
    return tmp_path


def write_params(project: Path, power: int) -> None:
    (project / "params.yaml").write_text(
        f"index: {{root: '.', splits: {{val: a}}, classes: [], ignore: []}}\npower: {{power: {power}}}\n"
    )


def tree(path: Path) -> dict[str, bytes]:
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


def run(project: Path, name: str) -> Path:
    return runner.run_stage(Project.open(TABLE, project), name, "val")


def test_resumes_from_finished_blocks_with_equal_bytes(project: Path) -> None:
    run(project, "index")
    whole = tree(run(project, "power"))
    shutil.rmtree(project / "artifacts" / "power")
    calls.clear()
    fail_at.append(64)
    with pytest.raises(RuntimeError):
        run(project, "power")
    assert not (project / "artifacts/power/val.zarr").exists()
    assert calls == [0, 32]
    fail_at.clear()
    assert tree(run(project, "power")) == whole
    assert calls == [0, 32, 64]


def test_interrupted_work_of_other_params_is_dropped(project: Path) -> None:
    run(project, "index")
    fail_at.append(64)
    with pytest.raises(RuntimeError):
        run(project, "power")
    fail_at.clear()
    write_params(project, 3)
    calls.clear()
    run(project, "power")
    assert calls == [0, 32, 64]
    assert not list((project / "artifacts/power").glob("*.partial"))


def test_current_artifact_is_left_alone(project: Path) -> None:
    run(project, "index")
    run(project, "power")
    calls.clear()
    run(project, "power")
    assert calls == []
    write_params(project, 3)
    run(project, "power")
    assert len(calls) == 3


def test_missing_stale_and_foreign_inputs(project: Path) -> None:
    with pytest.raises(ArtifactError, match=r"power needs artifacts/index/val\.zarr; run: usseg stage index --split"):
        run(project, "power")
    path = run(project, "index")
    attrs = json.loads((path / "zarr.json").read_text())
    attrs["attributes"]["usseg"]["version"] = 0
    (path / "zarr.json").write_text(json.dumps(attrs))
    with pytest.raises(ArtifactError, match="found index schema version 0; index version 1 is needed"):
        run(project, "power")
    (path / "zarr.json").write_text("{}")
    with pytest.raises(ArtifactError, match="is not an artifact of usseg"):
        run(project, "power")


def test_input_made_with_other_params_is_refused(project: Path) -> None:
    run(project, "index")
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("root: '.'", "root: './'"))
    with pytest.raises(ArtifactError, match=r"made with index\.root: '\.', params\.yaml says '\./'; run: usseg stage"):
        run(project, "power")


def test_unknown_split_and_section(project: Path) -> None:
    with pytest.raises(ParamsError, match=r"no split 'vall' here; did you mean 'val'\? \(known: val\)"):
        runner.run_stage(Project.open(TABLE, project), "index", "vall")
    with (project / "params.yaml").open("a") as stream:
        stream.write("powr: {}\n")
    with pytest.raises(ParamsError, match=r"powr: no such stage; did you mean 'power'\?"):
        run(project, "index")


def test_full_disk_is_one_line_and_loses_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(project, "index")
    real = blocks.write_rows

    def full(folder, name, place, values):
        if place[0].start == 64:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(folder, name, place, values)

    monkeypatch.setattr(blocks, "write_rows", full)
    with pytest.raises(ArtifactError, match=r"power@val: the disk of .* is full; free some space"):
        run(project, "power")
    assert not (project / "artifacts/power/val.zarr").exists()
    monkeypatch.setattr(blocks, "write_rows", real)
    calls.clear()
    run(project, "power")
    assert calls == [64]


def test_artifact_describes_itself(project: Path) -> None:
    run(project, "index")
    artifact = open_artifact(run(project, "power"))
    assert artifact.params == {"power": 2}
    assert artifact.num_images == COUNT
    np.testing.assert_array_equal(artifact["power"][3:5, 0], [9, 16])
    assert runner.verify_artifact(artifact.path).attrs["content"] == artifact.attrs["content"]
    index = open_artifact(project / "artifacts/index/val.zarr")
    assert index["id"][79] == "image-79"


def test_a_second_process_is_refused(project: Path) -> None:
    target = project / "artifacts/index/val.zarr"
    with runner.locked(target), pytest.raises(ArtifactError, match="another usseg is writing"):
        run(project, "index")


@pytest.mark.parametrize("moment", ["before the rename", "after the rename"])
def test_a_kill_while_publishing_loses_nothing(project: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    run(project, "index")
    whole = tree(run(project, "power"))
    shutil.rmtree(project / "artifacts" / "power")
    real = runner.publish

    def killed(folder: Path, target: Path) -> None:
        if moment == "after the rename":
            real(folder, target)
        else:
            (folder / ".zarr.json.new").write_bytes(b"half a write")
        raise RuntimeError("killed")

    monkeypatch.setattr(runner, "publish", killed)
    with pytest.raises(RuntimeError, match="killed"):
        run(project, "power")
    monkeypatch.setattr(runner, "publish", real)
    calls.clear()
    assert tree(run(project, "power")) == whole
    assert calls == []
    assert not list((project / "artifacts/power").glob(".*.partial"))
    run(project, "power")
    assert calls == []


def test_an_artifact_removed_after_a_kill_is_made_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC removes the outputs of a stage before it runs the stage again."""
    run(project, "index")
    whole = tree(run(project, "power"))
    real = runner.publish

    def killed(folder: Path, target: Path) -> None:
        real(folder, target)
        raise RuntimeError("killed")

    monkeypatch.setattr(runner, "publish", killed)
    shutil.rmtree(project / "artifacts" / "power")
    with pytest.raises(RuntimeError, match="killed"):
        run(project, "power")
    monkeypatch.setattr(runner, "publish", real)
    shutil.rmtree(project / "artifacts/power/val.zarr")
    assert tree(run(project, "power")) == whole


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("index:\npower: {power: 2}\n", r"params\.yaml: index: found None; a section with keys root"),
        ("index: {root: '.', splits: 3, classes: [], ignore: []}\npower: {power: 2}\n", r"index\.splits: found 3"),
        ("power: {power: 2}\n", r"params\.yaml: index\.splits: missing"),
    ],
)
@pytest.mark.parametrize("name", ["index", "power"])
def test_a_broken_index_section_is_one_line_for_every_stage(project: Path, text: str, line: str, name: str) -> None:
    (project / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match=line):
        run(project, name)


def test_other_write_errors_name_the_stage(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(project, "index")

    def refused(folder, name, rows, values):
        raise PermissionError(errno.EACCES, "Permission denied", "power/c/0")

    monkeypatch.setattr(blocks, "write_rows", refused)
    with pytest.raises(ArtifactError, match=r"power@val: Permission denied: power/c/0"):
        run(project, "power")


def test_an_edit_of_params_during_a_run_belongs_to_the_next_one(project: Path) -> None:
    run(project, "index")
    edit_at.append(32)
    artifact = open_artifact(run(project, "power"))
    assert artifact.params == {"power": 2}
    np.testing.assert_array_equal(artifact["power"][:, 0], np.arange(COUNT) ** 2)
    assert open_artifact(run(project, "power")).params == {"power": 3}
