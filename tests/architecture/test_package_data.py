"""The wheel holds every file of the package, and what a new project gets a copy of."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("pipeline", "stages", "results")
COPIED = {"dvc.yaml", ".dvcignore"}  # into a new project


def test_the_patterns_match_every_file_of_the_package_and_no_other() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert settings["packages"] == ["usseg"]  # with __init__.py and cli.py
    matched = {path for pattern in settings["package-data"]["usseg"] for path in ROOT.glob(pattern)}
    files = {path for part in PARTS for path in (ROOT / part).rglob("*") if path.is_file()}
    kept = {path for path in files if "__pycache__" not in path.parts}
    assert matched == kept | {ROOT / name for name in COPIED}
