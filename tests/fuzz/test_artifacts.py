"""Damaged, swapped or half-written artifacts are refused by name, or computed again with the same bytes."""

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from usseg.stages import STAGES

SEEDS, PARTIAL = range(45), range(14)
CHAIN = ("features", "eigen", "segments", "crops", "cluster", "assign", "refine", "evaluate", "report")


def swap(first: Path, second: Path) -> None:
    """Exchange two files or folders."""
    aside = first.with_name("aside")
    os.rename(first, aside)
    os.rename(second, first)
    os.rename(aside, second)


def another(folder: Path, kind: str, rng: np.random.Generator) -> Path:
    """Some file below a folder with this name, or with any."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and (not kind or path.name == kind))
    return found[int(rng.integers(len(found)))]


def damage(
    project: Any, stage: str, split: str, spoil: Callable[..., tuple[bytes, str]], rng: np.random.Generator
) -> str:
    """Damage the artifact of a stage, or a file next to it. Returns a description of the damage."""
    folder = project.path / "artifacts" / stage
    target = folder / f"{split}.zarr"
    files = sorted(path for path in target.rglob("*") if path.is_file())
    file = files[int(rng.integers(len(files)))]
    shown = file.relative_to(folder).as_posix()
    kind = int(rng.integers(12))
    if kind <= 4:
        content, what = spoil(file.read_bytes(), rng)
        file.write_bytes(content)
        return f"{shown}: {what}"
    if kind == 5:
        file.unlink()
        return f"{shown}: missing"
    if kind == 6:
        part = file.parent
        shutil.rmtree(part)
        return f"{part.relative_to(folder)}: missing"
    if kind == 7:
        other = another(project.path / "artifacts", file.name, rng)
        shutil.copyfile(other, file) if other != file else file.unlink()
        return f"{shown}: that of {other.relative_to(project.path)}"
    if kind == 8:
        other = sorted(path for path in folder.glob("*.zarr") if path != target) or [
            project.path / "artifacts/index/val.zarr"
        ]
        swap(target, other[0])
        return f"swapped with {other[0].relative_to(project.path)}"
    if kind == 9:
        file.unlink()
        file.symlink_to("nowhere") if rng.random() < 0.5 else file.mkdir()
        return f"{shown}: a link to nothing, or a folder"
    if kind == 10:
        sidecar = target.with_suffix(".run.json")
        content, what = spoil(sidecar.read_bytes(), rng)
        sidecar.write_bytes(content)
        return f"{sidecar.name}: {what}"
    memory = folder / f".{split}.verified.run.json"
    content, what = spoil(memory.read_bytes() if memory.exists() else b"{}", rng)
    memory.write_bytes(content)
    damaged, more = spoil(file.read_bytes(), rng)
    file.write_bytes(damaged)
    return f"{memory.name}: {what}; {shown}: {more}"


def published(project: Any) -> dict[str, bytes]:
    """All bytes of the results, without provenance files."""
    files = {**project.files(), **project.files("metrics"), **project.files("report")}
    return {name: content for name, content in files.items() if not name.endswith(".run.json")}


@pytest.fixture(scope="module")
def right(
    class_project: Path, tmp_path_factory: pytest.TempPathFactory, copied: Callable[[Path, Path], Any]
) -> dict[str, bytes]:
    """The published files of an undamaged project."""
    return published(copied(class_project, tmp_path_factory.mktemp("right") / "p"))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_damaged_artifact(
    seed: int,
    class_project: Path,
    right: dict[str, bytes],
    tmp_path: Path,
    copied: Callable[[Path, Path], Any],
    spoil: Callable[..., tuple[bytes, str]],
    attempt: Callable[..., str | None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    rng = np.random.default_rng([8, seed])
    project = copied(class_project, tmp_path / "p")
    stage = ("index", *CHAIN[:-1])[int(rng.integers(len(CHAIN)))]
    split = "train" if STAGES[stage].scope == "fit" or rng.random() < 0.6 else "val"
    print(f"seed {seed}: {stage}@{split}: {damage(project, stage, split, spoil, rng)}")
    readers = [one for one in CHAIN if any(item.stage == stage for item in STAGES[one].inputs)]
    used = [one for one in readers if (project.path / "artifacts" / one).exists()]
    before = {name: content for name, content in right.items() if not name.startswith(f"artifacts/{stage}/")}
    if used:
        reader = used[int(rng.integers(len(used)))]
        of = "all" if STAGES[reader].scope == "all" else "train" if STAGES[reader].scope == "fit" else split
        if STAGES[reader].scope == "each" and rng.random() < 0.5:
            shutil.rmtree(project.path / "artifacts" / reader / f"{of}.zarr")
        refused = attempt(lambda: project.run(reader, of), f"{stage}/{split}.zarr", f"{stage}/", f"{reader}@")
        if refused is None:
            found = {name: content for name, content in published(project).items() if name in before}
            assert found == before, f"{reader} has other bytes"
    caplog.set_level(logging.INFO, "usseg")
    caplog.clear()
    untouched = {
        name: content
        for name, content in published(project).items()
        if name.startswith(f"artifacts/{stage}/{split}.zarr/")
    }
    project.run(stage, split)
    if f"{stage}@{split} is up to date" in caplog.text:
        assert untouched == {name: right[name] for name in right if name.startswith(f"artifacts/{stage}/{split}.zarr/")}
    project.run_all("index", stage)  # what it was swapped with, too
    if used:
        project.run(reader, of)
    found = published(project)
    assert {name for name in right if found.get(name) != right[name]} == set()


@pytest.fixture(scope="module")
def interrupted(
    class_project: Path, tmp_path_factory: pytest.TempPathFactory, copied: Callable[[Path, Path], Any]
) -> tuple[Path, dict[str, bytes]]:
    """A project with two interrupted runs, and the right bytes.

    The features were interrupted after one block of 32 images, the training after its first checkpoint.
    """
    from PIL import Image

    from usseg.pipeline import blocks
    from usseg.pipeline.checkpoint import Checkpoint

    project = copied(class_project, tmp_path_factory.mktemp("interrupted") / "p")
    for i in range(3, 34):
        for kind in ("images", "labels"):
            with Image.open(project.path / f"data/{kind}/train/photo{i % 3}.png") as image:
                image.resize((16, 16), Image.Resampling.NEAREST).save(
                    project.path / f"data/{kind}/train/photo{i:02d}.png"
                )
    project.set({"cluster.method": "abc", "cluster.options": {"epochs": 3, "hidden": 8, "batch": 20}})
    for stage in CHAIN[:5]:
        project.run("index")
        project.run(stage)
    right = project.files("artifacts/features/train.zarr") | project.files("artifacts/cluster/train.zarr")
    with pytest.MonkeyPatch.context() as patch:
        real, save = blocks.compute_block, Checkpoint.save

        def one_block(task: Any) -> int:
            if task.layout.images.start:
                raise KeyboardInterrupt
            return real(task)

        def one_save(self: Checkpoint, state: Callable[[], bytes]) -> None:
            save(self, state)
            raise KeyboardInterrupt

        patch.setattr(Checkpoint, "save", one_save)
        patch.setattr(blocks, "compute_block", one_block)
        for stage in ("features", "cluster"):
            shutil.rmtree(project.path / f"artifacts/{stage}/train.zarr")
            with pytest.raises(KeyboardInterrupt):
                project.run(stage)
    return project.path, right


@pytest.mark.parametrize("seed", PARTIAL)
def test_damaged_work_in_progress(
    seed: int,
    interrupted: tuple[Path, dict[str, bytes]],
    tmp_path: Path,
    copied: Callable[[Path, Path], Any],
    spoil: Callable[..., tuple[bytes, str]],
    attempt: Callable[..., str | None],
) -> None:
    rng = np.random.default_rng([9, seed])
    project = copied(interrupted[0], tmp_path / "p")
    stage = ("features", "features", "cluster")[seed % 3]
    (folder,) = (project.path / "artifacts" / stage).glob(".train.*.partial")
    file = another(folder, "", rng)
    content, what = spoil(file.read_bytes(), rng)
    if rng.random() < 0.3:
        file.unlink()
        what = "missing"
    else:
        file.write_bytes(content)
    print(f"seed {seed}: {stage}: {file.relative_to(folder)}: {what}")
    project.run("features")
    project.run(stage)
    found = project.files(f"artifacts/{stage}/train.zarr")
    assert found == {
        name: content for name, content in interrupted[1].items() if name.startswith(f"artifacts/{stage}/")
    }
