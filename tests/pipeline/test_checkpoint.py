"""Checkpoints: saved state from which an interrupted whole-split stage resumes."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from usseg.pipeline import runner
from usseg.pipeline.artifact import ArraySpec, open_artifact
from usseg.pipeline.checkpoint import NO_CHECKPOINT, Checkpoint
from usseg.pipeline.execution import Execution
from usseg.pipeline.params import Params
from usseg.pipeline.project import Project
from usseg.pipeline.stage import Input, Stage

found: list[bytes | None] = []
fail: list[bool] = []


class IndexParams(Params):
    root: str = "."
    splits: dict[str, str]
    classes: list[str] = []
    ignore: list[int] = []


class SumParams(Params):
    start: int = 0


def run_index(params, inputs, images, execution):
    return {"id": ["a", "b"], "size": np.full((2, 2), 7, np.int32)}


def run_sum(params, inputs, images, execution):
    found.append(execution.checkpoint.load())
    execution.checkpoint.save(lambda: b"half")
    if fail:
        raise RuntimeError("killed")
    return {"sum": np.full(1, params.start, np.float32), "files": {"plots/sum.csv": "1\n"}}


INDEX = Stage(
    "index", "list", 1, IndexParams, (),
    {"id": ArraySpec(("image",), "str", "id"), "size": ArraySpec(("image", "side"), "int32", "px")},
    run_index, record=lambda params, split: {"root": params.root},
)  # fmt: skip
SUM = Stage("sum", "sum", 1, SumParams, (Input("index"),), {"sum": ArraySpec(("one",), "float32", "sum")}, run_sum)
TABLE = {"index": INDEX, "sum": SUM}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    found.clear()
    fail.clear()
    write_params(tmp_path, 1)
    runner.run_stage(Project.open(TABLE, tmp_path), "index", "val")
    return tmp_path


def write_params(project: Path, start: int) -> None:
    (project / "params.yaml").write_text(
        f"index: {{root: '.', splits: {{val: a}}, classes: [], ignore: []}}\nsum: {{start: {start}}}\n"
    )


def run(project: Path, *, killed: bool = False) -> None:
    fail[:] = [True] * killed
    if killed:
        with pytest.raises(RuntimeError, match="killed"):
            runner.run_stage(Project.open(TABLE, project), "sum", "val")
    else:
        runner.run_stage(Project.open(TABLE, project), "sum", "val")


def test_it_is_there_until_the_run_ends(project: Path) -> None:
    run(project, killed=True)
    run(project, killed=True)
    run(project)
    assert found == [None, b"half", b"half"]
    assert not list((project / "artifacts/sum").glob(".*.partial"))
    assert (project / "plots/sum.csv").read_text() == "1\n"


def test_another_run_finds_none(project: Path) -> None:
    run(project, killed=True)
    write_params(project, 2)
    run(project)
    assert found == [None, None]
    np.testing.assert_array_equal(open_artifact(project / "artifacts/sum/val.zarr")["sum"][:], [2])


def test_of_a_run_killed_while_it_was_published_only_the_checkpoint_is_used(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(folder: Path, target: Path) -> None:
        (folder / "stray").write_bytes(b"")
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(runner, "publish", killed)
        with pytest.raises(RuntimeError, match="killed"):
            runner.run_stage(Project.open(TABLE, project), "sum", "val")
    run(project)
    assert found == [None, b"half"]
    assert not (project / "artifacts/sum/val.zarr/stray").exists()
    assert runner.verify_artifact(project / "artifacts/sum/val.zarr")


def test_without_a_path_nothing_is_kept() -> None:
    NO_CHECKPOINT.save(lambda: pytest.fail("asked for what nobody keeps"))
    assert NO_CHECKPOINT.load() is None
    assert pickle.loads(pickle.dumps(Execution(Path()))).checkpoint.load() is None


def test_saving_takes_a_twentieth_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("usseg.pipeline.checkpoint.time.monotonic", lambda: now[0])
    checkpoint = Checkpoint(tmp_path / "checkpoint")
    kept = []

    def state() -> bytes:
        now[0] += 2  # seconds that it takes
        kept.append(now[0])
        return str(now[0]).encode()

    for _ in range(100):
        now[0] += 1
        checkpoint.save(state)
    assert kept[:3] == [103, 143, 183]
    assert checkpoint.load() == str(kept[-1]).encode()


@pytest.mark.parametrize("content", [b"", b"half", b"\0" * 40, None])
def test_a_damaged_checkpoint_is_discarded(project: Path, caplog: pytest.LogCaptureFixture, content) -> None:
    run(project, killed=True)
    (path,) = (project / "artifacts/sum").glob(".val.*.partial/checkpoint")
    path.write_bytes(path.read_bytes()[:-1] if content is None else content)
    run(project, killed=True)
    assert "sum@val: its checkpoint is damaged and is discarded; beginning anew" in caplog.text
    run(project)
    assert found == [None, None, b"half"]
