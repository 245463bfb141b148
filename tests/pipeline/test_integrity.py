"""A damaged artifact gives one line with artifact, file and remedy. The files of an intact one are hashed once."""

import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from usseg.pipeline import blocks, integrity, runner
from usseg.pipeline.artifact import ArraySpec, open_artifact
from usseg.pipeline.errors import ArtifactError
from usseg.pipeline.params import Params
from usseg.pipeline.project import Project
from usseg.pipeline.stage import Input, Stage

COUNT = 40


class IndexParams(Params):
    root: str = "."
    splits: dict[str, str]
    classes: list[str] = []
    ignore: list[int] = []


def run_index(params, inputs, images, execution):
    names = [f"image-{i}" for i in range(COUNT)]
    return {"id": names, "checksum": names, "size": np.full((COUNT, 2), 7, np.int32)}


def run_noise(params, inputs, images, execution):
    return {"noise": np.random.default_rng(images.start).normal(size=(len(images), 300)).astype(np.float32)}


def run_sum(params, inputs, images, execution):
    return {"sum": inputs["noise"]["noise"][:].sum(axis=1), "files": {"metrics/sum.json": "{}\n"}}


TABLE = {
    "index": Stage(
        "index", "list", 1, IndexParams, (),
        {
            "id": ArraySpec(("image",), "str", "id"), "checksum": ArraySpec(("image",), "str", "id"),
            "size": ArraySpec(("image", "side"), "int32", "px"),
        },
        run_index, record=lambda params, split: {"root": params.root},
    ),
    "noise": Stage(
        "noise", "noise", 1, Params, (Input("index"),),
        {"noise": ArraySpec(("image", "value"), "float32", "noise")},
        run_noise, sizes=lambda params, inputs: {"value": 300},
    ),
    "sum": Stage(
        "sum", "sums", 1, Params, (Input("index"), Input("noise")), {"sum": ArraySpec(("image",), "float32", "sums")}, run_sum,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    (folder / "params.yaml").write_text(
        "index: {root: '.', splits: {val: a}, classes: [], ignore: []}\nnoise: {}\nsum: {}\n"
    )
    for name in TABLE:
        run(folder, name)
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "p")
    return tmp_path / "p"


def run(project: Path, name: str) -> Path:
    return runner.run_stage(Project.open(TABLE, project), name, "val")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def dangle(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


DAMAGE: list[tuple[str, Callable[[Path], None], str]] = [
    ("noise/c", shutil.rmtree, r"noise/c/0/0 is missing"),
    ("noise/c/1/0", Path.unlink, r"noise/c/1/0 is missing"),
    ("noise/c/1/0", dangle, r"noise/c/1/0 is missing"),
    ("noise", shutil.rmtree, r"noise/c/0/0 is missing"),
    ("noise/c/1/0", flip, r"noise/c/1/0 has been changed since it was written"),
    ("noise/c/0/0", truncate, r"noise/c/0/0 has been changed since it was written"),
    ("noise/c/0/0", empty, r"noise/c/0/0 has been changed since it was written"),
    ("noise/zarr.json", truncate, r"noise/zarr\.json has been changed since it was written"),
    ("noise/zarr.json", flip, r"noise/zarr\.json has been changed since it was written"),
    ("noise/c/2/0", lambda path: path.parent.mkdir() or path.write_bytes(b"x"), r"noise/c/2/0 is no part of it"),
    ("zarr.json", truncate, r"its zarr\.json is damaged"),
    ("zarr.json", empty, r"its zarr\.json is damaged"),
    ("zarr.json", lambda path: path.write_bytes(b"\xff\xfe"), r"its zarr\.json is damaged"),
    ("zarr.json", lambda path: path.write_text("[" * 100_000), r"its zarr\.json is damaged"),
    ("zarr.json", lambda path: edit(path, lambda attrs: attrs.pop("content")), r"its zarr\.json is damaged"),
    ("zarr.json", lambda path: edit(path, lambda attrs: attrs.update(arrays={"noise": 3})), r"its zarr\.json is damaged"),
    ("zarr.json", lambda path: edit(path, lambda attrs: attrs.update(num_images=39)), r"zarr\.json has been changed since it was written"),
]  # fmt: skip


def edit(path: Path, change: Callable[[dict], object]) -> None:
    content = json.loads(path.read_text())
    change(content["attributes"]["usseg"])
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(("name", "damage", "line"), DAMAGE)
def test_a_damaged_input(project: Path, caplog, name: str, damage: Callable[[Path], None], line: str) -> None:
    intact = (project / "artifacts/noise/val.zarr/noise/c/1/0").read_bytes()
    damage(project / "artifacts/noise/val.zarr" / name)
    for _ in range(2):
        with pytest.raises(
            ArtifactError, match=rf"artifacts/noise/val\.zarr: {line}; run: usseg stage noise --split val$"
        ):
            run(project, "sum")
    caplog.set_level(logging.INFO, "usseg")
    run(project, "noise")
    assert "up to date" not in caplog.text
    assert "making it anew" in caplog.text
    assert (project / "artifacts/noise/val.zarr/noise/c/1/0").read_bytes() == intact
    run(project, "sum")
    assert "sum@val is up to date" in caplog.text


def test_a_damaged_index(project: Path) -> None:
    flip(project / "artifacts/index/val.zarr/size/c/0/0")
    with pytest.raises(ArtifactError, match=r"size/c/0/0 has been changed .*; run: usseg stage index --split val"):
        run(project, "noise")


def test_foreign_json(project: Path) -> None:
    for content in ("[]", "{}", '{"attributes": {"other": 1}}', "3"):
        (project / "artifacts/noise/val.zarr/zarr.json").write_text(content)
        with pytest.raises(ArtifactError, match="is not an artifact of usseg; remove it and run its stage again"):
            run(project, "sum")


def test_a_file_beside_the_artifact_that_was_changed_is_written_anew(project: Path, caplog) -> None:
    for spoil in (Path.unlink, lambda path: path.write_text("{")):
        spoil(project / "metrics/sum.json")
        run(project, "sum")
        assert (project / "metrics/sum.json").read_text() == "{}\n"
        assert "metrics/sum.json is missing or has been changed; making it anew" in caplog.text


def test_what_was_compared_is_not_read_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, read = integrity.file_checksum, []
    monkeypatch.setattr(integrity, "file_checksum", lambda path: read.append(path.name) or real(path))
    run(project, "sum")
    assert read == []  # just written
    path = project / "artifacts/noise/val.zarr/noise/c/1/0"
    os.utime(path, (1, 1))
    run(project, "sum")
    assert len(read) == 1
    run(project, "sum")
    assert len(read) == 1
    for memory in (project / "artifacts/noise").glob("*.verified.run.json"):
        memory.write_text("{")
    run(project, "sum")
    assert len(read) == 1 + len(open_artifact(project / "artifacts/noise/val.zarr").attrs["files"])


def test_links_and_hidden_files_are_fine(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC may check out artifacts as links, and macOS writes .DS_Store."""
    path = project / "artifacts/noise/val.zarr/noise/c/1/0"
    path.rename(project / "cached")
    path.symlink_to(project / "cached")
    (path.parents[1] / ".DS_Store").write_bytes(b"")
    monkeypatch.setattr(runner, "run_blocks", lambda *args: pytest.fail("it is up to date"))
    run(project, "noise")
    run(project, "sum")


def test_a_folder_that_cannot_be_written_is_read(project: Path, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    def refused(path: Path, content: bytes) -> None:
        raise PermissionError(13, "Permission denied")

    os.utime(project / "artifacts/noise/val.zarr/noise/c/1/0", (1, 1))
    monkeypatch.setattr(integrity, "write_file", refused)
    caplog.set_level(logging.INFO, "usseg")
    run(project, "sum")
    assert "its bytes are compared again next time" in caplog.text


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("data/noise/c/0", shutil.rmtree),
        ("data/noise/c/0/0", flip),
        ("data/noise/zarr.json", truncate),
        ("data", shutil.rmtree),
        ("done/000000000", empty),
    ],
)
def test_an_unfinished_run_that_was_damaged_begins_anew(
    project: Path, caplog, monkeypatch, name: str, damage: Callable[[Path], None]
) -> None:
    right = (project / "artifacts/noise/val.zarr/noise/c/0/0").read_bytes()
    shutil.rmtree(project / "artifacts/noise/val.zarr")
    real = blocks.compute_block

    def first_block(task: blocks.BlockTask) -> int:
        if task.layout.images.start:
            raise KeyboardInterrupt
        return real(task)

    with monkeypatch.context() as patch:
        patch.setattr(blocks, "compute_block", first_block)
        with pytest.raises(KeyboardInterrupt):
            run(project, "noise")
    (folder,) = (project / "artifacts/noise").glob(".val.*.partial")
    damage(folder / name)
    run(project, "noise")
    assert "noise@val: its unfinished run is damaged and is discarded; beginning anew" in caplog.text
    assert (project / "artifacts/noise/val.zarr/noise/c/0/0").read_bytes() == right
