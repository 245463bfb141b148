"""usseg save and usseg apply: what the commands print and refuse, and a kill between."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def test_save_then_apply(
    finished_project, tmp_path_factory: pytest.TempPathFactory, usseg, save_image, draw_photo
) -> None:
    elsewhere = tmp_path_factory.mktemp("else where")
    usseg(finished_project.path, "name", "1=left", "2=right")
    done = usseg(finished_project.path, "save", str(elsewhere / "meadow.usseg"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].endswith("bytes: params, cluster@train, names of 2 clusters")
    assert done.stdout.splitlines()[1].startswith(f"next: usseg apply '{elsewhere}/meadow.usseg' FOLDER")
    for i in range(2):
        save_image(elsewhere / f"New Photos/p{i}.png", draw_photo(i))
    arguments = ["--format", "voc, coco", "--only", "right", "--workers", "1", "--device", "cpu"]
    done = usseg(elsewhere, "apply", "meadow.usseg", "New Photos", "--out", "masks-new", *arguments)
    assert done.returncode == 0, done.stderr
    masks = elsewhere / "masks-new"
    assert done.stdout.splitlines() == [
        "new: 2 images (2 .png)",
        "2 photos are segmented",
        f"voc@new: 2 files -> {masks}/voc/new",
        f"coco@new: 2 images -> {masks}/coco/new/instances.json",
    ]
    assert (masks / "voc/new/classes.txt").read_text() == "background\nright\n"
    assert sorted(path.name for path in masks.iterdir()) == ["coco", "manifest-new.csv", "voc"]


def test_refusals_are_one_line(finished, tmp_path: Path, usseg, save_image, draw_photo) -> None:
    save_image(tmp_path / "photos/p.png", draw_photo(1))
    (tmp_path / "old.usseg").write_text("none")
    for arguments, line in (
        (("save", "meadow.zip", "--project", str(finished)), "a file whose name ends with .usseg is needed"),
        (("apply", "none.usseg", "photos", "--format", "voc"), "none.usseg: no such file"),
        (("apply", "old.usseg", "photos", "--format", "voc"), "old.usseg is no file of usseg save"),
    ):
        done = usseg(tmp_path, *arguments)
        assert done.returncode == 1
        assert line in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.usseg", "photos"]


@pytest.mark.slow
def test_a_killed_apply_continues(finished, tmp_path: Path, usseg, usseg_process, save_image, draw_photo) -> None:
    usseg(finished, "save", str(tmp_path / "meadow.usseg"))
    for i in range(70):  # three blocks of each stage
        save_image(tmp_path / f"photos/p{i:02d}.png", draw_photo(i))
    arguments = ["apply", "meadow.usseg", "photos", "--format", "voc", "--workers", "1", "--device", "cpu", "--out"]
    assert usseg_process(tmp_path, *arguments, "whole").returncode == 0
    continued = 0
    for stage in ("features", "segments", "assign"):
        command = [sys.executable, "-m", "usseg.cli", *arguments, "killed"]
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        work = tmp_path / "killed/.usseg-apply/artifacts" / stage
        while process.poll() is None and not list(work.glob(".new.*.partial/done/0*")):
            time.sleep(0.002)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            continued += 1
        process.communicate()
    assert continued >= 2
    done = usseg_process(tmp_path, *arguments, "killed")
    assert done.returncode == 0, done.stderr
    assert "features@new is up to date" in done.stderr
    whole, killed = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.png")}
        for name in ("whole", "killed")
    )
    assert whole == killed
    assert len(whole) == 70
    assert not (tmp_path / "killed/.usseg-apply").exists()
