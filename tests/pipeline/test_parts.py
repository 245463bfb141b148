"""Parts of a stage: a finished part is one whose files are those of its marker, and a folder moves as a whole."""

import json
from pathlib import Path

import pytest

from usseg.pipeline.disk import write_file
from usseg.pipeline.files import file_checksum
from usseg.pipeline.parts import is_finished, marker_path
from usseg.pipeline.provenance import NOTE, folder_digest, settle


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """A partial folder with one finished part of two files."""
    digests = {}
    for name in ("a.js", "deep/b.jpg"):
        write_file(tmp_path / "files/out" / name, name.encode())
        digests[name] = file_checksum(tmp_path / "files/out" / name)
    write_file(marker_path(tmp_path, "one"), json.dumps(digests).encode())
    return tmp_path


def test_a_part_with_its_marker_and_files_is_finished(part: Path) -> None:
    assert is_finished(part, part / "files/out", "one")
    assert not is_finished(part, part / "files/out", "two")


@pytest.mark.parametrize("damage", ["changed", "missing", "torn marker"])
def test_a_damaged_part_is_not_finished(part: Path, damage: str) -> None:
    file = part / "files/out/deep/b.jpg"
    if damage == "changed":
        file.write_bytes(b"x")
    elif damage == "missing":
        file.unlink()
    else:
        marker_path(part, "one").write_bytes(b'{"a.js": ')
    assert not is_finished(part, part / "files/out", "one")


def test_the_digest_of_a_folder_sees_names_contents_and_strays(tmp_path: Path) -> None:
    folder = tmp_path / "page"
    seen = {folder_digest(folder)}
    for name, content in (("a", "1"), ("a", "2"), ("b", "2"), ("c/b", "2")):
        write_file(folder / name, content.encode())
        seen.add(folder_digest(folder))
    assert len(seen) == 5


@pytest.mark.parametrize("killed", ["before", "between", "after"])
def test_a_folder_replaces_the_former_one_whenever_the_run_was_killed(tmp_path: Path, killed: str) -> None:
    """`settle` is called again after a kill: the old folder may be away already, or the new one in its place."""
    partial, target = tmp_path / "artifacts/report/.all.key.partial", tmp_path / "artifacts/report/all.zarr"
    write_file(tmp_path / "out/stale", b"old")
    write_file(partial / "files/out/new", b"new")
    write_file(partial / NOTE, json.dumps({"files": {}, "folders": {"out": ""}}).encode())
    if killed != "before":
        (partial / "former").mkdir()
        (tmp_path / "out").rename(partial / "former/out")
    if killed == "after":
        (partial / "files/out").rename(tmp_path / "out")
    settle(partial, target, tmp_path)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"new"}
    assert not partial.exists()
    assert (tmp_path / "artifacts/report/all.run.json").exists()
