"""Mistakes of the user: exit code 1, one line that begins with `usseg:`, and no artifact is changed."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from PIL import Image


def photo_is_text(project) -> None:
    (project.path / "data/images/train/photo1.png").write_text("no image")


def photo_is_truncated(project) -> None:
    path = project.path / "data/images/train/photo1.png"
    path.write_bytes(path.read_bytes()[:1000])


def label_of_no_class(project) -> None:
    Image.fromarray(np.full((48, 64), 9, np.uint8)).save(project.path / "data/labels/train/photo1.png")


def label_of_other_size(project) -> None:
    Image.fromarray(np.zeros((24, 32), np.uint8)).save(project.path / "data/labels/train/photo1.png")


def no_such_images(project) -> None:
    project.set({"index.splits": {"train": {"images": "imgs/*.tif", "labels": None}}})


def unknown_key(project) -> None:
    project.set({"cluster.kk": 3})


def word_for_number(project) -> None:
    project.set({"cluster.k": "three"})


def unknown_section(project) -> None:
    with (project.path / "params.yaml").open("a") as stream:
        stream.write("clusters: {}\n")


def broken_yaml(project) -> None:
    (project.path / "params.yaml").write_text("index: {root: data\n  splits: [")


def no_params(project) -> None:
    (project.path / "params.yaml").unlink()


def no_upstream(project) -> None:
    shutil.rmtree(project.path / "artifacts/crops/train.zarr")


def other_schema(project) -> None:
    path = project.path / "artifacts/features/train.zarr/zarr.json"
    content = json.loads(path.read_text())
    content["attributes"]["usseg"]["version"] = 99
    path.write_text(json.dumps(content))


def stale_upstream(project) -> None:
    project.set({"features.options.stride": 16})


def foreign_upstream(project) -> None:
    (project.path / "artifacts/features/train.zarr/zarr.json").write_text("[]")


def other_stride(project) -> None:
    project.set({"features.options.stride": 4})


def truncated_weights(project) -> None:
    (project.path / "dino.pth").write_bytes(b"PK\x03\x04 the first bytes of an archive")
    project.set({"features.backbone": "checkpoint", "features.options.weights": "dino.pth"})


def no_download(project) -> None:
    project.set({"features.backbone": "vit", "features.options": {"name": "vit_tiny_patch16_224"}})


@dataclass(frozen=True)
class Case:
    """A function that makes the mistake, the command, and the expected line."""

    spoil: Callable[[Any], None] | None
    command: str
    line: str
    largest_file: int | None = None  # bytes; more cannot be written
    process: bool = False  # in a process of its own, as is a case with a largest file


CASES = [
    Case(photo_is_text, "stage index --split train", r".*/images/train/photo1\.png: not an image .*; mend or remove it, or set index\.on_error: skip", process=True),
    Case(photo_is_truncated, "stage index --split train", r".*/images/train/photo1\.png: .*truncated.*; mend or remove it, .*"),
    Case(label_of_no_class, "stage index --split train", r".*/labels/train/photo1\.png: found label value 9; index\.classes declares 0 to 1 .*"),
    Case(label_of_other_size, "stage index --split train", r".*/labels/train/photo1\.png: labels of 32 x 24 for an image of 64 x 48; .*"),
    Case(no_such_images, "stage index --split train", r"params\.yaml: index\.splits\.train\.images: no file matches 'imgs/\*\.tif' below .*; check .*"),
    Case(unknown_key, "stage cluster", r"params\.yaml: cluster\.kk: unknown key; did you mean 'k'\? \(known: method, .*, options\)"),
    Case(word_for_number, "stage cluster", r"params\.yaml: cluster\.k: found 'three'; input should be a valid integer"),
    Case(unknown_section, "stage index --split train", r"params\.yaml: clusters: no such stage; did you mean 'cluster'\? .*"),
    Case(broken_yaml, "stage cluster", r"params\.yaml: not valid YAML: .*line \d+.*"),
    Case(no_params, "stage cluster", r"no params\.yaml in .*; run in the project folder or pass --project DIR"),
    Case(no_upstream, "stage cluster", r"cluster needs artifacts/crops/train\.zarr; run: usseg stage crops --split train"),
    Case(other_schema, "stage eigen --split train", r"artifacts/features/train\.zarr: found features schema version 99; features version \d+ is needed; run: usseg stage features --split train"),
    Case(stale_upstream, "stage eigen --split train", r"artifacts/features/train\.zarr: made with features\.options\.stride: 8, params\.yaml says 16; run: .*"),
    Case(foreign_upstream, "stage eigen --split train", r".*features/train\.zarr is not an artifact of usseg; remove it and run its stage again"),
    Case(None, "stage eigen --split trian", r"eigen: no split 'trian' here; did you mean 'train'\? \(known: train, val\)"),
    Case(None, "stage eigen --split train --device gpu", r"--device: found 'gpu'; auto, cpu, cuda or cuda:N is allowed"),
    Case(None, "stage eigen --split train --device cuda:99", r"--device: found 'cuda:99'; this machine has \d+ CUDA devices"),
    Case(other_stride, "stage features --split train --workers 1", r"features@train: File too large; mend that and run the same command again, .*", 8000),
    Case(truncated_weights, "stage features --split train", r"features\.options\.weights: .*/dino\.pth cannot be read .*; is the download complete\?"),
    Case(no_download, "stage features --split train", r"features\.options\.name: the weights of vit_tiny_patch16_224 could not be downloaded .*; try again .*", process=True),
    Case(None, "recipe apply dsn", r"no recipe 'dsn'; did you mean 'dsm'\? \(known: .*\)"),
    Case(None, "describe data", r"no artifact at data"),
]  # fmt: skip


def case_name(case: Case) -> str:
    return case.spoil.__name__ if case.spoil else case.command.replace(" ", "-")


def kept(project) -> dict[str, bytes]:
    """All published files, which must not change."""
    files = {**project.files(), **project.files("metrics"), **project.files("plots"), **project.files("report")}
    return {name: content for name, content in files.items() if ".partial/" not in name}


@pytest.mark.parametrize("case", CASES, ids=case_name)
def test_one_line(case: Case, finished_project, usseg, usseg_process) -> None:
    if case.spoil:
        case.spoil(finished_project)
    before = kept(finished_project)
    if case.process or case.largest_file:
        folder = str(finished_project.path / "hub")
        offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": folder}
        done = usseg_process(finished_project.path, *case.command.split(), largest_file=case.largest_file, **offline)
    else:
        done = usseg(finished_project.path, *case.command.split())
    lines = [line for line in done.stderr.splitlines() if line.startswith("usseg:")]
    assert done.returncode == 1, done.stderr
    assert len(lines) == 1, done.stderr
    assert done.stderr.splitlines()[-1] == lines[0]
    assert "Traceback" not in done.stderr
    assert re.fullmatch(rf"usseg: {case.line}", lines[0]), lines[0]
    assert kept(finished_project) == before


def test_the_same_command_continues_after_the_disk_was_full(finished_project, usseg_process) -> None:
    other_stride(finished_project)
    command = ["stage", "features", "--split", "train", "--workers", "1"]
    assert usseg_process(finished_project.path, *command, largest_file=8000).returncode == 1
    finished_project.run("features")
    assert finished_project.artifact("features")["grid"][0].tolist() == [12, 16]
    assert not [name for name in finished_project.files() if ".partial/" in name]


def test_a_skipped_image_is_named(finished_project, usseg) -> None:
    photo_is_text(finished_project)
    finished_project.set({"index.on_error": "skip"})
    done = usseg(finished_project.path, "stage", "index", "--split", "train")
    assert done.returncode == 0
    assert "skipped: " in done.stderr
    assert "photo1.png: not an image" in done.stderr
    assert finished_project.artifact("index").num_images == 3


def test_debug_shows_the_traceback(finished_project, usseg_process) -> None:
    photo_is_text(finished_project)
    done = usseg_process(finished_project.path, "stage", "index", "--split", "train", "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "usseg.pipeline.errors.ImageError" in done.stderr
