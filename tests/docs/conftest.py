"""The pages, their blocks of code, and a project in which the blocks are executed."""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"\n]*)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, its title and its text."""

    kind: str
    title: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [Block(*found) for found in BLOCK.findall(page.read_text("utf-8"))]


def generator() -> ModuleType:
    """docs/generate.py, as MkDocs loads it."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module


@pytest.fixture(scope="session")
def reference() -> dict[str, str]:
    """The generated pages by their path below docs."""
    return generator().pages()


@pytest.fixture(scope="session")
def page_blocks() -> Callable[[str | Path], list[Block]]:
    """The blocks of a page, named by its path below docs or its whole path."""
    return lambda name: blocks(ROOT / "docs" / name)


@pytest.fixture
def shell() -> Callable[..., str]:
    """Run the lines of a block in a folder; `usseg` is that of the sources in `tree`. Returns what was printed."""

    def run(text: str, folder: Path, tree: Path) -> str:
        path = os.pathsep.join([str(tree), os.environ.get("PYTHONPATH", "")])
        commands = "\n".join(
            [
                "set -eu",
                f'usseg() {{ "{sys.executable}" -m usseg.cli "$@"; }}',
                f'pytest() {{ "{sys.executable}" -m pytest "$@"; }}',
                f'python() {{ "{sys.executable}" "$@"; }}',
                text,
            ]
        )
        environment = {**os.environ, "PYTHONPATH": path, "USSEG_WORKERS": "1", "COLUMNS": "200"}
        done = subprocess.run(
            ["bash", "-c", commands], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run
