"""docs/how-to/add-a-method.md, word by word: its file, its line, its test, its params and its commands."""

import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from usseg.stages import STAGES

ROOT = Path(__file__).resolve().parents[2]
PAGE = "how-to/add-a-method.md"
PACKAGE = ("__init__.py", "cli.py", "pipeline", "stages", "results")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The folder of a copy of the sources, `usseg`."""
    for name in PACKAGE:
        source, target = ROOT / name, tmp_path / "tree/usseg" / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    return tmp_path / "tree"


def text_of(blocks: list[Any], title: str) -> str:
    found = [block.text for block in blocks if block.title == title]
    assert len(found) == 1, title
    return found[0]


def apply_diff(path: Path, diff: str) -> None:
    """Insert the added lines after the line of context before them."""
    text = path.read_text()
    before, *added = [line[1:] for line in diff.splitlines()]
    assert text.count(f"{before}\n") == 1
    path.write_text(text.replace(f"{before}\n", "".join(f"{line}\n" for line in (before, *added))))


@pytest.mark.slow
def test_the_page_is_followed_in_a_clone(
    tree: Path, page_blocks: Callable[[str], list[Any]], shell: Callable[..., str], tiny_project: Any
) -> None:
    blocks = page_blocks(PAGE)
    assert {block.kind for block in blocks} == {"python", "diff", "bash", "yaml", "toml"}
    clone = tree / "usseg"
    for block in blocks:
        if block.kind == "python":
            (clone / block.title).parent.mkdir(parents=True, exist_ok=True)
            (clone / block.title).write_text(block.text)
    apply_diff(clone / "stages/segments/methods/__init__.py", text_of(blocks, "stages/segments/methods/__init__.py"))
    assert "4 passed" in shell(text_of(blocks, "in the clone"), clone, tree)
    for key, value in YAML(typ="safe").load(text_of(blocks, "params.yaml"))["segments"].items():
        tiny_project.set({f"segments.{key}": value})
    said = shell(text_of(blocks, "in the project"), tiny_project.path, tree)
    assert "Merges neighbouring tokens" in said
    assert "eigen@val: no chosen method reads it, left empty" in said
    assert tiny_project.artifact("segments", "val")["num_segments"][:].max() > 2
    assert tiny_project.artifact("segments", "val").params["options"] == {"num_segments": 12}


def test_the_page_is_followed_in_a_package_of_ones_own(
    tmp_path: Path, page_blocks: Callable[[str], list[Any]], shell: Callable[..., str]
) -> None:
    blocks = page_blocks(PAGE)
    project = tomllib.loads(text_of(blocks, "pyproject.toml"))["project"]
    ((group, points),) = project["entry-points"].items()
    assert group in {f"usseg.{name}" for name, stage in STAGES.items() if stage.methods}
    (tmp_path / "my_methods").mkdir()
    (tmp_path / "my_methods/ward.py").write_text(text_of(blocks, "stages/segments/methods/ward.py"))
    (tmp_path / "my_methods/__init__.py").touch()
    info = tmp_path / f"my_methods-{project['version']}.dist-info"  # what an installation would write
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n" + "\n".join(f"{k} = {v}" for k, v in points.items()))
    assert "Merges neighbouring tokens" in shell("usseg methods segments", tmp_path, tmp_path)
