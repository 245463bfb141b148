"""How the work is done changes no byte: workers, threads, batch size, the order of files on disk."""

import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from usseg.pipeline.arrays import BLOCK
from usseg.pipeline.artifact import open_artifact

Command = Callable[..., subprocess.CompletedProcess[str]]
Files = Callable[[Path], dict[str, bytes]]
Edit = Callable[[Path, dict[str, Any]], None]


def test_the_reference_has_several_blocks(reference: Path) -> None:
    assert open_artifact(reference / "artifacts/index/train.zarr").num_images > 3 * BLOCK


def test_workers_and_batches_change_no_byte(
    reference: Path, tmp_path: Path, command: Command, artifact_files: Files
) -> None:
    project = tmp_path / "another folder"
    shutil.copytree(reference / "data", project / "data")
    shutil.copy(reference / "params.yaml", project)
    command(project, "usseg", "run", "--workers", "2", "--batch-size", "64")
    assert artifact_files(project) == artifact_files(reference)


def test_the_order_of_files_on_disk_and_batches_of_one_change_no_byte(
    reference: Path, tmp_path: Path, command: Command, artifact_files: Files
) -> None:
    paths = sorted(p for p in (reference / "data").rglob("*") if p.is_file())
    random.Random(0).shuffle(paths)
    for path in paths:
        target = tmp_path / path.relative_to(reference)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())  # a new time of its own
    shutil.copy(reference / "params.yaml", tmp_path)
    command(tmp_path, "usseg", "run", "--workers", "1", "--batch-size", "1")
    assert artifact_files(tmp_path) == artifact_files(reference)


@pytest.mark.parametrize("method", ["kmeans", "ot", "abc", "primaps_em"])
def test_the_number_of_threads_changes_no_bit_of_a_clustering(
    method: str, reference: Path, tmp_path: Path, environment: dict[str, str], edit: Edit, artifact_files: Files
) -> None:
    shutil.copytree(reference, tmp_path / "p")
    options = {"epochs": 3} if method in ("abc", "primaps_em") else {}
    rows = "tokens" if method == "primaps_em" else "segments"
    edit(tmp_path / "p", {"cluster.method": method, "cluster.options": options, "cluster.rows": rows})
    edit(tmp_path / "p", {"cluster.pca": 20})
    found = []
    for threads in ("1", "3"):
        shutil.rmtree(tmp_path / "p/artifacts/cluster")
        limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)
        subprocess.run(
            ["usseg", "stage", "cluster"], cwd=tmp_path / "p", env={**environment, **limits}, check=True, timeout=300
        )
        found.append(artifact_files(tmp_path / "p"))
    assert found[0] == found[1]
