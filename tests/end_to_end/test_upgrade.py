"""Another usseg in a project: an edit of the code re-runs exactly the stages that may call it."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from usseg.pipeline.format import FORMAT

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("pipeline", "stages", "results", "cli.py", "__init__.py")
Command = Callable[..., subprocess.CompletedProcess[str]]
Repro = Callable[..., set[str]]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Another usseg, in a folder for PYTHONPATH."""
    package = tmp_path / "installed/usseg"
    package.mkdir(parents=True)
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2  # with the times: compiled files stay valid
        copy(ROOT / part, package / part)
    return package.parent


@pytest.fixture
def upgraded(demo_copy: Path, installed: Path, command: Command, repro: Repro) -> Callable[..., set[str]]:
    """The demo with that usseg: upgraded(file, old text, new text) edits it and returns what `dvc repro` runs."""
    command(demo_copy, "usseg", "plan", PYTHONPATH=str(installed))
    assert (demo_copy / ".usseg/stages").resolve() == installed / "usseg/stages"
    assert repro(demo_copy, PYTHONPATH=str(installed)) == set()  # the code is the same

    def edit(name: str, find: str = '"""', put: str = '"""A comment. ') -> set[str]:
        path = installed / "usseg" / name
        text = path.read_text()
        assert find in text
        path.write_text(text.replace(find, put, 1))
        return repro(demo_copy, PYTHONPATH=str(installed))

    return edit


def test_an_edit_of_the_code_runs_what_may_call_it(
    upgraded: Callable[..., set[str]], installed: Path, entries: Callable[..., set[str]]
) -> None:
    for junk in ("stages/features/stage.py~", "stages/features/.#stage.py", "stages/eigen/notes.txt"):
        (installed / "usseg" / junk).write_text("of an editor")
    assert upgraded("pipeline/runner.py") == set()
    assert upgraded("results/tables.py") == set()
    assert upgraded("pipeline/format.py") == {"plan"}
    assert upgraded("stages/features/descriptors.py") == {"plan", *entries("features", "crops")}
    assert upgraded("stages/segmenter/stage.py") == {"plan"}  # no chosen method reads it
    assert upgraded("stages/cluster/scaling.py") == {"plan", "cluster", *entries("assign")}
    assert upgraded("stages/evaluate/confusion_scores.py") == {"plan", "report", *entries("evaluate")}


def test_another_format_makes_everything_anew(
    demo_copy: Path, installed: Path, command: Command, entries: Callable[..., set[str]]
) -> None:
    path = installed / "usseg/pipeline/format.py"
    path.write_text(path.read_text().replace(f"FORMAT = {FORMAT}", f"FORMAT = {FORMAT + 1}"))
    command(demo_copy, "usseg", "plan", PYTHONPATH=str(installed))
    changed = json.loads(command(demo_copy, "dvc", "status", "--json").stdout)
    # `segmenter` is not needed, and is left empty whatever the format is.
    assert {stage for stage, found in changed.items() if any("changed deps" in one for one in found)} == entries() - {
        "segmenter"
    }
    text = command(demo_copy, "usseg", "stage", "features", "--split", "val", PYTHONPATH=str(installed)).stderr
    assert "features@val: 3 images in" in text
