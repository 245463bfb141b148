"""Progress counts finished images, not finished blocks."""

import threading
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from usseg import cli
from usseg.pipeline import progress, runner
from usseg.pipeline.artifact import ArraySpec
from usseg.pipeline.execution import Execution
from usseg.pipeline.params import Params
from usseg.pipeline.progress import BlockCount
from usseg.pipeline.project import Project
from usseg.pipeline.runner import run_stage
from usseg.pipeline.stage import Input, Stage
from usseg.stages import STAGES

COUNT = 80


class IndexParams(Params):
    root: str = "."
    splits: dict[str, str]
    classes: list[str] = []
    ignore: list[int] = []


def run_index(params, inputs, images, execution):
    return {"id": [f"image-{i}" for i in range(COUNT)], "size": np.full((COUNT, 2), 7, np.int32)}


fail_at: list[int] = []


def run_squares(params, inputs, images, execution):
    if images.start in fail_at:
        raise RuntimeError("killed")
    for done in range(len(images)):
        execution.progress(done + 1, len(images))
    return {"square": np.asarray(images, np.float32)[:, None] ** 2}


INDEX = Stage(
    "index", "list", 1, IndexParams, (),
    {"id": ArraySpec(("image",), "str", "id"), "size": ArraySpec(("image", "side"), "int32", "px")},
    run_index, record=lambda params, split: {"root": params.root},
)  # fmt: skip
SQUARES = Stage(
    "squares", "squares", 1, Params, (Input("index"),),
    {"square": ArraySpec(("image", "value"), "float32", "squares")},
    run_squares, sizes=lambda params, inputs: {"value": 1},
)  # fmt: skip
TABLE = {"index": INDEX, "squares": SQUARES}


@pytest.fixture
def indexed(tmp_path: Path) -> Path:
    fail_at.clear()
    text = "index: {root: '.', splits: {val: a}, classes: [], ignore: []}\nsquares: {}\n"
    (tmp_path / "params.yaml").write_text(text)
    run_stage(Project.open(TABLE, tmp_path), "index", "val")
    return tmp_path


def test_progress_counts_images_and_those_that_a_killed_run_left(indexed: Path) -> None:
    fail_at.append(64)
    seen: list[tuple[int, int]] = []
    watched = Execution(progress=lambda done, total: seen.append((done, total)))
    with pytest.raises(RuntimeError):
        run_stage(Project.open(TABLE, indexed), "squares", "val", watched)
    assert sorted(set(seen)) == [(done, COUNT) for done in range(65)]
    fail_at.clear()
    seen.clear()
    run_stage(Project.open(TABLE, indexed), "squares", "val", watched)
    assert sorted(set(seen)) == [(done, COUNT) for done in range(64, COUNT + 1)]


def test_progress_of_workers_counts_blocks(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The workers import this file as tests.pipeline.test_progress.
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[2])
    seen: list[int] = []
    execution = Execution(workers=2, progress=lambda done, total: seen.append(done))
    run_stage(Project.open(TABLE, indexed), "squares", "val", execution)
    assert sorted(seen) in ([0, 32, 64, 80], [0, 16, 48, 80], [0, 32, 48, 80])


def test_code_that_workers_do_not_have_is_an_error_and_no_endless_wait(indexed: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match="No module named 'tests'"):
        run_stage(Project.open(TABLE, indexed), "squares", "val", Execution(workers=2))


EACH = ("features", "eigen", "segments", "crops", "refine")


def test_stages_count_each_image_of_a_block(tiny_project) -> None:
    tiny_project.run("index")
    images = tiny_project.artifact("index").num_images
    assert images > 1
    for stage in ("features", "eigen", "segments", "crops", "cluster", "assign", "refine", "evaluate"):
        seen: list[tuple[int, int]] = []
        execution = Execution(progress=lambda done, total, seen=seen: seen.append((done, total)))
        run_stage(Project.open(STAGES, tiny_project.path), stage, "train", execution)
        if stage in EACH:
            assert sorted(set(seen)) == [(done, images) for done in range(images + 1)], stage
        if stage in (*EACH, "assign", "evaluate"):
            assert seen[-1] == (images, images), stage
        assert seen == sorted(seen), stage


def test_a_block_counts_once_whoever_counts_it() -> None:
    seen: list[tuple[int, int]] = []
    count = BlockCount(32, 90, lambda done, total: seen.append((done, total)))
    first, second = range(32, 64), range(64, 90)
    count.count_part(first, range(32, 50), 1, 18)
    count.count_part(second, range(64, 70), 1, 6)
    count.count_part(first, range(50, 64), 2, 14)
    count.count(first, 32)  # the whole block, by the runner
    count.count(first, 32)
    assert seen == [(32, 90), (33, 90), (34, 90), (53, 90), (65, 90), (65, 90)]


def test_threads_lose_no_image() -> None:
    seen: list[int] = []
    count = BlockCount(0, 400, lambda done, total: seen.append(done))

    def images_of(block: range) -> None:
        for done in range(1, len(block) + 1):
            count.count(block, done)

    threads = [threading.Thread(target=images_of, args=[range(start, start + 100)]) for start in range(0, 400, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == list(range(401))


@pytest.mark.parametrize("arguments", [["cluster"], ["cluster", "--split", "train"], ["segmenter"]])
def test_every_title_has_the_split(tiny_project, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    titles: list[str] = []
    shown = progress.progress_bar

    def bar(title: str):
        titles.append(title)
        return shown(title)

    monkeypatch.setattr(progress, "progress_bar", bar)
    monkeypatch.setattr(runner, "run_stage", lambda *args, **options: None)
    done = CliRunner().invoke(cli.app, ["stage", *arguments, "--project", str(tiny_project.path)])
    assert done.exit_code == 0, done.output
    assert titles == [f"{arguments[0]}@train"]
