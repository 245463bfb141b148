"""A project is any folder: without links to the code, or with files that have the names of the package's parts."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
Command = Callable[..., subprocess.CompletedProcess[str]]
Repro = Callable[..., set[str]]


@pytest.mark.parametrize("links", ["none", "dangling"])
def test_a_project_that_lost_the_links_to_the_code(
    links: str, demo_copy: Path, command: Command, repro: Repro, environment: dict[str, str], artifact_files
) -> None:
    """It was cloned or moved, or its environment is gone. DVC names the link; any run of usseg draws it anew."""
    before = artifact_files(demo_copy)
    for name in ("stages", "format.py"):
        (demo_copy / ".usseg" / name).unlink()
        if links == "dangling":
            (demo_copy / ".usseg" / name).symlink_to(f"/gone/{name}")
    if links == "none":
        shutil.rmtree(demo_copy / ".usseg")
    refused = subprocess.run(
        ["dvc", "repro"], cwd=demo_copy, env=environment, capture_output=True, text=True, check=False
    )
    assert refused.returncode != 0
    assert refused.stderr.startswith("ERROR: failed to reproduce 'plan': [Errno 2] No such file or directory: '")
    assert f"{demo_copy}/.usseg/stages'" in refused.stderr
    if links == "none":
        command(demo_copy, "usseg", "plan")
    else:
        command(demo_copy, "usseg", "stage", "crops", "--split", "val")
    assert (demo_copy / ".usseg/stages").resolve() == ROOT / "stages"
    assert repro(demo_copy) <= {"plan"}  # DVC removed its output before it failed
    assert artifact_files(demo_copy) == before


def test_a_folder_with_names_of_the_package(
    draw_project: Callable[..., Path], tmp_path: Path, command: Command
) -> None:
    """A user's own pipeline.py, stages/ and cli.py are not taken for those of usseg, not by its workers either."""
    project = draw_project(tmp_path / "p", 33, [(24, 32)])
    for name in ("pipeline.py", "cli.py", "usseg.py", "stages/__init__.py", "results/__init__.py"):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(f"raise SystemExit('{name} was imported')\n")
    assert command(project, "usseg", "--version").stdout.startswith("usseg ")
    command(project, "usseg", "stage", "index", "--split", "train")
    text = command(project, "usseg", "stage", "features", "--split", "train", "--workers", "2").stderr
    assert "features@train: 33 images in" in text
    command(project, "usseg", "run", "--workers", "1")
    assert (project / "report/index.html").is_file()
