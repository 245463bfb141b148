"""A Dask cluster of its own processes: the bytes of one worker, also where two of three workers are killed at work."""

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PER_IMAGE = ("features", "eigen", "segments", "crops")
PATIENCE = 60  # seconds
Environment = dict[str, str]


def wait_until(happened: Callable[[], bool]) -> None:
    ended = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < ended, "nothing happened"
        time.sleep(0.01)


class Cluster:
    """`dask scheduler` and `dask worker`, as a user starts them."""

    def __init__(self, folder: Path, environment: Environment, workers: int) -> None:
        self.folder, self.environment = folder, environment
        self.log = (folder / "cluster.log").open("w")
        self.file = folder / "scheduler.json"
        self.scheduler = self.start("scheduler", "--port", "0", "--dashboard-address", ":0")
        wait_until(lambda: self.file.exists() and self.file.read_text().strip().endswith("}"))
        self.address = json.loads(self.file.read_text())["address"]
        self.workers = [self.start("worker", "--no-nanny", "--nthreads", "1", "--no-dashboard") for _ in range(workers)]
        wait_until(lambda: (folder / "cluster.log").read_text().count("Register worker") >= workers)

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        command = ["dask", *args, "--scheduler-file", str(self.file)]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdout=self.log, stderr=self.log, start_new_session=True
        )

    def kill_worker(self) -> None:
        worker = self.workers.pop()
        worker.send_signal(signal.SIGKILL)
        worker.wait(PATIENCE)

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait(PATIENCE)
        self.log.close()


@pytest.fixture(scope="module")
def alone(tmp_path_factory, draw_project, command) -> Path:
    """Six blocks of images after a run by one process."""
    edits = {"features.options.stride": 8, "segments.options.num_segments": 8, "crops.method": "masked_attention"}
    project = draw_project(tmp_path_factory.mktemp("alone") / "p", 180, [(120, 160), (160, 120)], edits)
    for stage in ("index", *PER_IMAGE):
        command(project, "usseg", "stage", stage, "--split", "train", "--workers", "1")
    return project


@pytest.fixture
def cluster(tmp_path: Path, environment: Environment) -> Iterator[Cluster]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    running = Cluster(folder, environment, workers=3)
    yield running
    running.close()


def test_two_of_three_workers_are_killed(
    alone: Path, cluster: Cluster, tmp_path: Path, command, environment: Environment, artifact_files
) -> None:
    project = tmp_path / "p"
    shutil.copytree(alone / "data", project / "data")
    shutil.copy(alone / "params.yaml", project)
    options = ("--split", "train", "--scheduler", cluster.address)
    command(project, "usseg", "stage", "index", "--split", "train")
    for stage in ("features", "eigen"):
        command(project, "usseg", "stage", stage, *options)

    done = project / "artifacts" / "segments"
    errors = project / "errors.txt"
    with errors.open("w") as stream:
        running = subprocess.Popen(
            ["usseg", "stage", "segments", *options], cwd=project, env=environment, stdout=stream, stderr=stream
        )
    for blocks in (0, 1):
        wait_until(
            lambda blocks=blocks: len(list(done.glob(".train.*.partial/done/0*"))) >= blocks and running_blocks(done)
        )
        assert running.poll() is None, errors.read_text()
        cluster.kill_worker()
    assert running.wait(300) == 0, errors.read_text()

    command(project, "usseg", "stage", "crops", *options)
    assert artifact_files(project) == artifact_files(alone)


def running_blocks(stage: Path) -> bool:
    """Whether the stage has begun: its arrays are there, so that its blocks are with the workers."""
    return any(stage.glob(".train.*.partial/done"))
