"""Local workers that are killed while their cluster starts:

the stage ends as if nothing had happened, or in one line.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest


@pytest.fixture(scope="module")
def indexed(tmp_path_factory, draw_project, command) -> Path:
    """Three blocks of images with their index."""
    project = draw_project(tmp_path_factory.mktemp("indexed") / "p", 96, [(40, 48)], {"features.options.stride": 8})
    command(project, "usseg", "stage", "index", "--split", "train", "--workers", "1")
    return project


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes that a run has spawned to work."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [child] if "spawn_main" in " ".join(child.cmdline()) else []
    return found


def run_and_kill(project: Path, environment: dict[str, str], *, times: int) -> tuple[int, list[str], int]:
    """Run features by two workers, and kill every worker as soon as it is seen, up to so many of them."""
    command = ["usseg", "stage", "features", "--split", "train", "--workers", "2"]
    killed: set[int] = set()
    with (project / "errors.txt").open("w") as stream:
        running = subprocess.Popen(command, cwd=project, env=environment, stdout=stream, stderr=stream, text=True)
        ended = time.monotonic() + 240
        while running.poll() is None:
            assert time.monotonic() < ended, (project / "errors.txt").read_text()
            for worker in workers_of(running) if len(killed) < times else []:
                if worker.pid not in killed and len(killed) < times:
                    os.kill(worker.pid, signal.SIGKILL)
                    killed.add(worker.pid)
            time.sleep(0.01)
    lines = (project / "errors.txt").read_text().splitlines()
    return running.returncode, [line for line in lines if " of 96" not in line], len(killed)


def test_a_worker_killed_at_its_start(indexed: Path, tmp_path: Path, environment, command) -> None:
    project, alone = tmp_path / "p", tmp_path / "alone"
    shutil.copytree(indexed, project)
    shutil.copytree(indexed, alone)
    code, text, killed = run_and_kill(project, environment, times=1)
    assert killed == 1
    assert code == 0, text
    assert len(text) == 2, text
    assert text[0].startswith("workers: start 1 of 3 failed")
    command(alone, "usseg", "stage", "features", "--split", "train", "--workers", "1")
    read = [(p / "artifacts/features/train.zarr/zarr.json").read_bytes() for p in (project, alone)]
    assert read[0] == read[1]


def test_workers_killed_at_every_start_are_one_line(indexed: Path, tmp_path: Path, environment) -> None:
    project = tmp_path / "p"
    shutil.copytree(indexed, project)
    code, text, killed = run_and_kill(project, environment, times=100)
    assert killed > 2
    assert code == 1, text
    assert text[-1].startswith("usseg: --workers: 2 workers did not start in 3 tries; "), text
    assert len(text) == 4, text
