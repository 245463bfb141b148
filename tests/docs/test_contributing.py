"""CONTRIBUTING.md, "Guess the file": the named files exist, the new ones do not, and the twelve changes are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECTION = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Guess the file")[1].split("\n## ")[0]
ROWS = re.findall(r"^\| (?!change |---)(.*?) \| (.*) \|$", SECTION, re.MULTILINE)


def test_there_are_twelve_changes() -> None:
    assert len(ROWS) == 12


@pytest.mark.parametrize(("change", "files"), ROWS)
def test_the_files_of_a_change_are_there(change: str, files: str) -> None:
    named = re.findall(r"`([\w./-]+)`( \*\(new\)\*)?", files)
    paths = [(path, new) for path, new in named if "/" in path or path.endswith((".py", ".toml", ".yaml", ".lock"))]
    assert paths
    for path, new in paths:
        place = ROOT / path
        assert place.exists() != bool(new), path
        assert place.parent.is_dir()


@pytest.mark.parametrize(("change", "files"), ROWS)
def test_a_line_in_a_table_has_a_table(change: str, files: str) -> None:
    for path in re.findall(r"a line in `([\w./]+)`", files):
        text = (ROOT / path).read_text(encoding="utf-8")
        assert "METHODS = Methods(" in text or "FORMATS: dict[str, Format] = {" in text
