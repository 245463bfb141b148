"""`kill -9` at any moment of any stage, then the same command: it finishes with the bytes of an uninterrupted run."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from usseg.stages import STAGES

KILLS = 2  # of each stage at random moments, one after the other on what the last one left
BLOCKWISE = [name for name, stage in STAGES.items() if stage.sizes is not None]
Files = Callable[[Path], dict[str, bytes]]
ATTEMPTS = 20


class Run:
    """A stage in a process group of its own."""

    def __init__(self, project: Path, environment: dict[str, str], stage: str, *options: str) -> None:
        split = [] if STAGES[stage].scope == "all" else ["--split", "train"]
        self.folder = project / "artifacts" / stage
        self.lock = self.folder / (".all.lock" if STAGES[stage].scope == "all" else ".train.lock")
        self.lock.unlink(missing_ok=True)
        self.errors = project / "errors.txt"
        with self.errors.open("w") as stream:
            self.process = subprocess.Popen(
                ["usseg", "stage", stage, *split, *options],
                cwd=project,
                env=environment,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    def wait_until(self, happened: Callable[[], bool]) -> None:
        """Wait for something, or for the end."""
        while self.process.poll() is None and not happened():
            time.sleep(0.002)

    def has_finished_a_block(self) -> bool:
        return any(self.folder.glob(".train.*.partial/done/0*"))

    def has_workers(self) -> bool:
        return len(self.survivors()) > 2

    def kill(self, *, group: bool = True) -> bool:
        """Kill, and say whether it was in time."""
        if group and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        return self.process.wait(60) == -signal.SIGKILL

    def finish(self) -> str:
        assert self.process.wait(300) == 0, self.errors.read_text()
        return self.errors.read_text()

    def survivors(self) -> list[psutil.Process]:
        """Processes of the session that still run."""
        found = []
        for process in psutil.process_iter(["status"]):
            try:
                alive = process.info["status"] != psutil.STATUS_ZOMBIE
                if alive and os.getsid(process.pid) == self.process.pid:
                    found.append(process)
            except (ProcessLookupError, psutil.NoSuchProcess):
                continue
        return found


@pytest.fixture
def whole(reference: Path, trained: Path) -> Callable[[str], Path]:
    """A project in which a stage was not interrupted."""
    return lambda stage: trained if stage == "segmenter" else reference


@pytest.fixture
def before(whole: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """A copy of that project in which the stage has not run."""

    def copy(stage: str) -> Path:
        project = tmp_path / "p"
        shutil.copytree(whole(stage), project)
        shutil.rmtree(project / "artifacts" / stage)
        for name in {
            "segmenter": ["plots/segmenter"],
            "evaluate": ["metrics", "plots/train"],
            "report": ["report"],
        }.get(stage, []):
            shutil.rmtree(project / name)
        return project

    return copy


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_stage_ends_with_the_same_bytes(
    stage: str,
    before: Callable[[str], Path],
    whole: Callable[[str], Path],
    environment: dict[str, str],
    artifact_files: Files,
) -> None:
    project = before(stage)
    draw = random.Random(stage)
    split = "all" if stage == "report" else "train"
    window = json.loads((whole(stage) / f"artifacts/{stage}/{split}.run.json").read_text())["seconds"]
    kills = 0
    for _ in range(ATTEMPTS):
        run = Run(project, environment, stage, "--workers", "1")
        run.wait_until(run.lock.exists)  # before that, nothing is written
        time.sleep(draw.uniform(0, window))
        if run.kill():
            kills += 1
        else:  # it was faster than the delay
            window *= 0.7
            shutil.rmtree(project / "artifacts" / stage)
        if kills == KILLS:
            break
    assert kills == KILLS
    Run(project, environment, stage, "--workers", "1").finish()
    assert artifact_files(project) == artifact_files(whole(stage))
    assert not list((project / "artifacts").glob("*/.*.partial"))
    if stage != "index":  # it always looks at the image files again
        assert "is up to date" in Run(project, environment, stage, "--workers", "1").finish()


@pytest.mark.parametrize("stage", BLOCKWISE)
def test_finished_blocks_are_kept(
    stage: str, before: Callable[[str], Path], reference: Path, environment: dict[str, str], artifact_files: Files
) -> None:
    project = before(stage)
    for _ in range(ATTEMPTS):
        run = Run(project, environment, stage, "--workers", "1")
        run.wait_until(run.has_finished_a_block)
        if run.kill() and run.has_finished_a_block():
            break
        shutil.rmtree(run.folder, ignore_errors=True)
    text = Run(project, environment, stage, "--workers", "1").finish()
    done = re.search(rf"{stage}@train: continuing, (\d+) of 100 images are done", text)
    assert done, text
    assert int(done[1]) >= 32
    assert artifact_files(project) == artifact_files(reference)


@pytest.mark.parametrize("stage", ["features", "eigen"])
@pytest.mark.parametrize("group", [True, False], ids=["all processes", "the first process"])
def test_workers_of_a_killed_run_do_not_stay(
    stage: str,
    group: bool,
    before: Callable[[str], Path],
    reference: Path,
    environment: dict[str, str],
    artifact_files: Files,
) -> None:
    project = before(stage)
    draw = random.Random(f"{stage} {group}")
    for _ in range(ATTEMPTS):
        run = Run(project, environment, stage, "--workers", "2")
        run.wait_until(run.has_workers)
        if draw.random() < 0.5:
            run.wait_until(run.has_finished_a_block)
        if run.kill(group=group):
            break
        shutil.rmtree(run.folder)
    again = Run(project, environment, stage, "--workers", "2")  # at once, whatever the workers still do
    again.finish()
    deadline = time.monotonic() + 60
    while (left := run.survivors() + again.survivors()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []
    assert artifact_files(project) == artifact_files(reference)
    assert not list((project / "artifacts").glob("*/.*.partial"))


def test_a_killed_chain_goes_on_where_it_stopped(
    reference: Path,
    tmp_path: Path,
    environment: dict[str, str],
    command: Callable[..., subprocess.CompletedProcess[str]],
    artifact_files: Files,
) -> None:
    shutil.copytree(reference / "data", tmp_path / "data")
    shutil.copy(reference / "params.yaml", tmp_path)
    chain = ["usseg", "run", "--workers", "1"]
    for name in ("eigen", "segments", "evaluate"):
        with (tmp_path / "errors.txt").open("w") as stream:
            process = subprocess.Popen(chain, cwd=tmp_path, env=environment, stderr=stream, start_new_session=True)
        while process.poll() is None and not (tmp_path / "artifacts" / name).exists():
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL, (tmp_path / "errors.txt").read_text()
    text = command(tmp_path, *chain).stderr
    assert "features@train is up to date" in text
    assert "report@all: 100 images in" in text
    assert artifact_files(tmp_path) == artifact_files(reference)


def test_there_are_at_least_twenty_kills() -> None:
    assert KILLS * len(STAGES) >= 20
