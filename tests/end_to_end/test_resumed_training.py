"""`kill -9` in the middle of a training, then the same command:

it goes on from its checkpoint, and ends with the same bytes.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Long enough to be killed several times before the end.
TRAININGS = {
    "segmenter": {"segmenter.options": {"epochs": 60, "updates": 2, "batch": 40}},
    "segmenter by Sempart": {
        "segmenter.method": "sempart",
        "segments.method": "sempart",
        "segmenter.options": {"epochs": 20, "width": 4, "batch": 2, "window": 32, "consistency": 0.01, "augment": True},
    },
    "cluster": {"cluster.method": "abc", "cluster.options": {"epochs": 150, "hidden": 32, "batch": 100}},
    "cluster by EM": {
        "segments.method": "spectral",
        "segments.options": {"num_segments": 4},
        "cluster.method": "primaps_em",
        "cluster.rows": "tokens",
        "cluster.options": {"epochs": 60, "batch": 8},
    },
}
KILLS = 3


def has_saved(folder: Path, since: float) -> bool:
    """Whether a checkpoint is newer than that."""
    return any(path.stat().st_mtime > since for path in folder.glob(".train.*.partial/checkpoint"))


@pytest.mark.parametrize("training", TRAININGS)
def test_a_killed_training_goes_on(
    training: str,
    trained: Path,
    tmp_path: Path,
    environment: dict[str, str],
    edit: Callable[[Path, dict[str, Any]], None],
    command: Callable[..., subprocess.CompletedProcess[str]],
    artifact_files: Callable[[Path], dict[str, bytes]],
) -> None:
    stage = training.partition(" ")[0]
    projects = [tmp_path / "whole", tmp_path / "killed"]
    for project in projects:
        shutil.copytree(trained, project)
        shutil.rmtree(project / "artifacts" / stage)
        edit(project, TRAININGS[training])
    whole, killed = projects
    command(whole, "usseg", "stage", stage)
    folder = killed / "artifacts" / stage
    saved = 0.0
    for _ in range(KILLS):
        with (killed / "errors.txt").open("w") as stream:
            process = subprocess.Popen(
                ["usseg", "stage", stage], cwd=killed, env=environment, stderr=stream, start_new_session=True
            )
        while process.poll() is None and not has_saved(folder, saved):
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL, (killed / "errors.txt").read_text()
        assert not (folder / "train.zarr").exists()
        saved = max(path.stat().st_mtime for path in folder.glob(".train.*.partial/checkpoint"))
    assert "continuing" in command(killed, "usseg", "stage", stage).stderr
    assert artifact_files(killed) == artifact_files(whole)
    assert not list(folder.glob(".*.partial"))


def test_a_checkpoint_of_other_params_is_not_used(
    trained: Path,
    tmp_path: Path,
    command: Callable[..., subprocess.CompletedProcess[str]],
    artifact_files: Callable[[Path], dict[str, bytes]],
) -> None:
    shutil.copytree(trained, tmp_path / "p")
    folder = tmp_path / "p/artifacts/segmenter"
    shutil.rmtree(folder)
    stale = folder / ".train.0123456789abcdef.partial/checkpoint"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"of another run")
    command(tmp_path / "p", "usseg", "stage", "segmenter")
    assert not stale.exists()
    assert artifact_files(tmp_path / "p") == artifact_files(trained)
