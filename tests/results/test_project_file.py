"""The file of usseg save: every damage, and every file made to do harm, is one line, and nothing is written."""

import hashlib
import io
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import usseg
from usseg.pipeline.errors import ArtifactError, ParamsError, UssegError
from usseg.pipeline.format import FORMAT
from usseg.pipeline.publication import seal
from usseg.results.project_file import check_bytes

DIGEST = 64
Members = dict[str, bytes]


def members_of(file: Path) -> Members:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def signed(content: bytes) -> bytes:
    """The content with a right digest in the place of its last 64 bytes."""
    return content[:-DIGEST] + hashlib.sha256(content[:-DIGEST]).hexdigest().encode()


def zipped(members: Members | list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of these members with a right digest at its end."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members.items() if isinstance(members, dict) else members:
            archive.writestr(name, content)
        archive.comment = b"0" * DIGEST
    return signed(stream.getvalue())


def with_manifest(members: Members, edit: Callable[[dict[str, Any]], None]) -> bytes:
    manifest = json.loads(members["manifest.json"])
    edit(manifest)
    return zipped({**members, "manifest.json": json.dumps(manifest).encode()})


def relisted(members: Members, **more: bytes) -> bytes:
    """Other members, with right digests in the manifest."""
    files = {name: content for name, content in {**members, **more}.items() if name != "manifest.json"}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return with_manifest({**members, **more}, lambda manifest: manifest.update(members=digests))


def outcome(action: Callable[[], object]) -> str | None:
    """Do it. Returns None, or the message of an error of usseg."""
    try:
        action()
    except UssegError as error:
        return str(error)
    return None


def refused(content: bytes, folder: Path) -> str:
    """The one line that refuses a file."""
    file = folder / "spoilt.usseg"
    file.write_bytes(content)
    with pytest.raises(UssegError) as found:
        usseg.load(file)
    message = str(found.value)
    assert str(file) in message
    assert "\n" not in message
    assert len(message) < 600
    return message


def test_a_file_is_a_zip_that_any_tool_can_test(meadow: Path) -> None:
    with zipfile.ZipFile(meadow) as archive:
        assert archive.testzip() is None
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        names = archive.namelist()
        manifest = json.loads(archive.read("manifest.json"))
    assert names == ["manifest.json", *sorted(names[1:])]
    assert sorted(manifest["members"]) == names[1:]
    assert manifest["format"] == FORMAT
    assert manifest["weights"] == []
    assert manifest["network"] == ""
    assert manifest["params"]["index"]["classes"] == ["left", "right"]
    assert list(manifest["stages"]) == sorted(manifest["stages"])
    assert not [name for name in names[1:] if not name.startswith("artifacts/cluster/train.zarr/")]


def test_every_flipped_byte_and_every_shorter_file_is_found(meadow: Path) -> None:
    content = meadow.read_bytes()
    check_bytes(meadow, content)
    for place in range(len(content)):
        flipped = content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :]
        for spoilt in (flipped, content[:place]):
            message = outcome(lambda spoilt=spoilt: check_bytes(meadow, spoilt))
            assert message is not None, place
            assert message.startswith(str(meadow))


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("../../escaped.txt", "has the name '../../escaped.txt'"),
        ("/tmp/escaped.txt", "has the name '/tmp/escaped.txt'"),
        ("artifacts/../../escaped.txt", "a member has the name"),
        ("artifacts\\..\\escaped.txt", "a member has the name"),
        ("artifacts/cluster/train.zarr/.hidden", "a member has the name"),
        ("artifacts/cluster/train.zarr/C:", "a member has the name"),
        ("artifacts/cluster/train.zarr//x", "a member has the name"),
        ("params.yaml", "a member has the name 'params.yaml'"),
        ("artifacts/cluster/train.zarr/stray", "its artifact cluster: .*stray is no part of it"),
        (
            "artifacts/refine/train.zarr/stray",
            "'artifacts/refine/train.zarr/stray' is no artifact that its params need",
        ),
        ("artifacts/cluster/val.zarr/zarr.json", "val.zarr/zarr.json' is no artifact that its params need"),
    ],
)
def test_a_member_that_does_not_belong_there(meadow: Path, tmp_path: Path, name: str, line: str) -> None:
    (tmp_path / "deep/folder").mkdir(parents=True)
    message = refused(relisted(members_of(meadow), **{name: b"x"}), tmp_path / "deep/folder")
    assert re.search(line, message), message
    assert not list(tmp_path.rglob("escaped.txt"))
    assert not Path("/tmp/escaped.txt").exists()


def test_members_that_are_missing_added_changed_or_twice(meadow: Path, tmp_path: Path) -> None:
    members = members_of(meadow)
    center = next(name for name in members if "/centers/c/" in name)
    assert f"{center} has been changed since" in refused(zipped({**members, center: b"x"}), tmp_path)
    without = {name: content for name, content in members.items() if name != center}
    assert f"{center} is missing" in refused(zipped(without), tmp_path)
    assert "is no part of it" in refused(zipped({**members, "artifacts/cluster/train.zarr/x": b""}), tmp_path)
    twice = [*members.items(), (center, b"x")]
    with pytest.warns(UserWarning, match="Duplicate name"):
        content = zipped(twice)
    assert "or has it twice" in refused(content, tmp_path)
    assert "its artifact cluster: " in refused(relisted(without), tmp_path)
    fitted = [name for name in members if name.startswith("artifacts/")]
    nothing = {name: content for name, content in members.items() if name not in fitted}
    assert "its artifact cluster: " in refused(relisted(nothing), tmp_path)
    assert "manifest.json is missing or cannot be read" in refused(zipped({"names.yaml": b""}), tmp_path)
    deep = b"[" * 100_000
    assert "manifest.json is missing or cannot be read" in refused(zipped({"manifest.json": deep}), tmp_path)


def resealed(meadow: Path, folder: Path, edit: Callable[[Path], None]) -> bytes:
    """A file whose clustering was changed, with right digests everywhere."""
    for name, content in members_of(meadow).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    artifact = folder / "artifacts/cluster/train.zarr"
    edit(artifact)
    attrs = json.loads((artifact / "zarr.json").read_text())["attributes"]["usseg"]
    seal(artifact, {name: value for name, value in attrs.items() if name not in ("files", "content", "digest")})
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return relisted(files)


def with_shape(array: Path, shape: list[int]) -> None:
    metadata = json.loads((array / "zarr.json").read_text())
    (array / "zarr.json").write_text(json.dumps({**metadata, "shape": shape}))


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (
            lambda folder: with_shape(folder / "centers", [10**6, 10**6]),
            "array centers declares 4,000,000,000,000 bytes",
        ),
        (lambda folder: with_shape(folder / "centers", [4]), "array centers cannot be read"),
        (lambda folder: with_shape(folder / "counts", [-1]), "array counts cannot be read"),
        (lambda folder: (folder / "mean/c/0").write_bytes(b"none"), "array mean cannot be read"),
        (lambda folder: (folder / "mean/zarr.json").write_text("{}"), "array mean cannot be read"),
        (lambda folder: (folder / "mean/zarr.json").unlink(), "array mean cannot be read"),
    ],
)
def test_a_fitted_array_made_to_do_harm(meadow: Path, tmp_path: Path, edit: Callable[[Path], None], line: str) -> None:
    assert line in refused(resealed(meadow, tmp_path / "folder", edit), tmp_path)


def test_a_zip_bomb(meadow: Path, tmp_path: Path) -> None:
    bomb = {**members_of(meadow), "artifacts/cluster/train.zarr/bomb": bytes(50_000_000)}
    content = zipped(bomb, zipfile.ZIP_DEFLATED)
    assert len(content) < 200_000
    assert "its members have more bytes than the file" in refused(content, tmp_path)
    small = zipped({"manifest.json": b"{}" * 10}, zipfile.ZIP_DEFLATED)
    assert "is compressed or encrypted" in refused(small, tmp_path)


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (
            {"format": 2},
            r"written by usseg .* with format 2; this version reads \d+; install usseg .* save the project",
        ),
        ({"layout": 9}, r"with layout 9; this version reads 1"),
        ({"stages": {"cluster": 99}}, r"with 'cluster' version 99; this version has \d+; install usseg "),
        ({"stages": {"magic": 1}}, r"with 'magic' version 1; this version has no such stage; install usseg "),
        ({"stages": {}}, r"its stages are not those that its params need"),
        ({"usseg": None, "format": None}, r"written by usseg None with format None"),
    ],
)
def test_another_version(meadow: Path, tmp_path: Path, edit: dict[str, Any], line: str) -> None:
    assert re.search(line, refused(with_manifest(members_of(meadow), lambda m: m.update(edit)), tmp_path))


def test_a_method_that_is_not_installed(meadow: Path, tmp_path: Path) -> None:
    def edit(manifest: dict[str, Any]) -> None:
        manifest["params"]["features"]["backbone"] = "mine"

    assert "spoilt.usseg: features.backbone" in refused(with_manifest(members_of(meadow), edit), tmp_path).replace(
        "params.yaml: ", ""
    )


def test_params_that_are_not_those_of_the_artifact(meadow: Path, tmp_path: Path) -> None:
    def edit(manifest: dict[str, Any]) -> None:
        manifest["params"]["cluster"]["k"] = 7

    message = refused(with_manifest(members_of(meadow), edit), tmp_path)
    assert "its artifact cluster: artifacts/cluster/train.zarr: made with cluster.k: 2, params.yaml says 7" in message


def test_other_code_is_said(
    meadow: Path, new_photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, apply_file
) -> None:
    usseg.load(meadow)
    assert not caplog.messages
    file = tmp_path / "old.usseg"
    file.write_bytes(with_manifest(members_of(meadow), lambda m: m["code"].update(segments="0" * 64)))
    usseg.load(file)
    assert len(caplog.messages) == 1
    assert "the code of segments has changed since: new masks may differ" in caplog.messages[0]
    apply_file(file, new_photos, tmp_path / "out")
    assert len([line for line in caplog.messages if "the code of segments" in line]) == 2


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "no such file"),
        (b"", "is no file of usseg save; name one that usseg save wrote"),
        (b"<html>404</html>", "is no file of usseg save"),
        (b"PK\x03\x04", "not the bytes that usseg save wrote"),
    ],
)
def test_what_is_no_such_file(tmp_path: Path, content: bytes | None, line: str) -> None:
    if content is not None:
        (tmp_path / "x.usseg").write_bytes(content)
    with pytest.raises(ArtifactError, match=line):
        usseg.load(tmp_path / "x.usseg")


def test_a_folder_is_no_such_file(meadow: Path, tmp_path: Path) -> None:
    (tmp_path / "x.usseg").mkdir()
    with pytest.raises(ArtifactError, match="found a folder; a file is needed"):
        usseg.load(tmp_path / "x.usseg")


def test_a_refused_file_writes_nothing(meadow: Path, new_photos: Path, tmp_path: Path, apply_file) -> None:
    file = Path(shutil.copy(meadow, tmp_path / "meadow.usseg"))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises((ArtifactError, ParamsError)):
        apply_file(file, new_photos, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [file]
