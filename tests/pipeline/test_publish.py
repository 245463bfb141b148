"""Publication of an artifact over whatever is at its path."""

from pathlib import Path

import pytest

from usseg.pipeline.artifact import artifact_path, open_artifact
from usseg.pipeline.publication import publish, recover, replaced_path
from usseg.pipeline.runner import leave_empty
from usseg.stages import STAGES


def sealed(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "zarr.json").write_text(text)
    return folder


@pytest.mark.parametrize("place", ["folder", "file", "link", "link to nothing"])
@pytest.mark.parametrize("killed", [False, True])
def test_whatever_stands_there_is_replaced(tmp_path: Path, place: str, killed: bool) -> None:
    target, elsewhere = tmp_path / "stage/val.zarr", tmp_path / "elsewhere"
    target.parent.mkdir()
    for number in ("1", "2"):
        if place == "folder" and not target.exists():
            sealed(target, "0")
        elif place == "file":
            target.write_text("no artifact")
        elif place.startswith("link"):
            target.symlink_to(elsewhere)
        if place == "link":
            elsewhere.mkdir(exist_ok=True)
            (elsewhere / "mine").write_text("kept")
        if killed:  # between the two renames
            target.rename(replaced_path(target))
            recover(target)
            assert target.is_symlink() == place.startswith("link")
        publish(sealed(tmp_path / "partial", number), target)
        recover(target)
        assert not target.is_symlink()
        assert (target / "zarr.json").read_text() == number
        assert [path.name for path in target.parent.iterdir()] == ["val.zarr"]
        if place != "folder":
            (target / "zarr.json").unlink()
            target.rmdir()
    assert place != "link" or (elsewhere / "mine").read_text() == "kept"


def test_an_artifact_left_empty_keeps_the_partial_folder_of_an_interrupted_run(tmp_path: Path) -> None:
    target = artifact_path(tmp_path, "eigen", "val")
    block = target.parent / ".val.0123456789abcdef.partial/done/000000000"
    block.parent.mkdir(parents=True)
    block.write_bytes(b"")
    leave_empty(STAGES["eigen"], "val", target)
    assert open_artifact(target).attrs["empty"]
    assert block.exists()
