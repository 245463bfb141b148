"""Projects that are run by the real commands, `usseg` and `dvc`, in processes of their own."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from usseg.pipeline.chain import run_chain
from usseg.pipeline.execution import Execution
from usseg.pipeline.plan import write_plans
from usseg.pipeline.project import Project
from usseg.stages import STAGES

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    "index.root": "data",
    "index.splits": {"train": {"images": "images/*", "labels": "labels/*"}},
    "index.classes": ["left", "right"],
    "features.backbone": "lowlevel",
    "eigen.k": 5,
    "segmenter.options": {"epochs": 6, "prototypes": 3, "updates": 1},
    "segments.method": "spectral",
    "segments.options.num_segments": 4,
    "segments.background": "none",
    "crops.method": "mean",
    "cluster.method": "kmeans",
    "cluster.k": 3,
    "report.max_images": 3,
    "report.max_segments": 3,
}
DVC_STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
# What the tests of DVC count on; the defaults may change.
PINNED = {
    "features.backbone": "lowlevel",
    "features.resize": 160,
    "segmenter.options": {"epochs": 2, "updates": 1},
    "segments.min_tokens": 0,
    "segments.options": {"num_segments": 6},
    "segments.background": "none",
    "crops.method": "mean",
    "crops.options": {"erode": 0, "dilate": 0},
    "refine.method": "none",
    "evaluate.options": {"matching": "count"},
}
Command = Callable[..., subprocess.CompletedProcess[str]]
Edit = Callable[[Path, dict[str, Any]], None]


def command_environment(home: Path) -> dict[str, str]:
    """Environment of a user with `usseg` and `dvc`, without the git and dvc settings of this machine."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "DVC_"))}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "DVC_NO_ANALYTICS": "1",
        "DVC_GLOBAL_CONFIG_DIR": str(home / "global"),
        "DVC_SYSTEM_CONFIG_DIR": str(home / "system"),
        "DVC_SITE_CACHE_DIR": str(home / "site"),
    }


def draw(seed: int, height: int, width: int) -> np.ndarray:
    """Two noisy halves of different colours, uint8 RGB."""
    rng = np.random.default_rng(seed)
    image = np.where(np.arange(width)[None, :, None] < width // 2, [200, 120, 40], [40, 90, 160])
    return np.clip(image + rng.normal(0, 25, (height, width, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What every command of these tests is run with."""
    return command_environment(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def command(environment: dict[str, str]) -> Command:
    """Run a command in a project: command(project, "usseg", "stage", "index", ..., VARIABLE="..."). It must succeed."""

    def run(project: Path, *args: str, timeout: int = 300, **variables: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            args,
            cwd=project,
            env={**environment, **variables},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(args)}\n{done.stdout}\n{done.stderr}"
        return done

    return run


@pytest.fixture(scope="session")
def draw_project(edit: Edit) -> Callable[..., Path]:
    """Write a project with one split, train: draw_project(folder, number of images, [(height, width), ...])."""

    def write(folder: Path, count: int, sizes: list[tuple[int, int]], edits: dict[str, Any] | None = None) -> Path:
        for kind in ("images", "labels"):
            (folder / "data" / kind).mkdir(parents=True)
        for i in range(count):
            height, width = sizes[i % len(sizes)]
            truth = np.tile((np.arange(width) >= width // 2).astype(np.uint8), (height, 1))
            Image.fromarray(draw(i, height, width)).save(folder / f"data/images/photo{i:04d}.png")
            Image.fromarray(truth).save(folder / f"data/labels/photo{i:04d}.png")
        edit(folder, {**SMALL, **(edits or {})})
        return folder

    return write


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory, draw_project: Callable[..., Path], command: Command) -> Path:
    """100 images of three sizes, four blocks, after an uninterrupted run by one process; copy it, never write to it."""
    project = draw_project(tmp_path_factory.mktemp("reference") / "p", 100, [(40, 48), (48, 40), (32, 64)])
    command(project, "usseg", "run", "--workers", "1")
    return project


@pytest.fixture(scope="session")
def trained(reference: Path, tmp_path_factory: pytest.TempPathFactory, command: Command, edit: Edit) -> Path:
    """The reference with a trained segmenter, which `segments.method: acg` asks for; copy it, never write to it."""
    project = tmp_path_factory.mktemp("trained") / "p"
    shutil.copytree(reference, project)
    edit(project, {"segments.method": "acg"})
    command(project, "usseg", "stage", "segmenter")
    return project


@pytest.fixture(scope="session")
def artifact_files() -> Callable[[Path], dict[str, bytes]]:
    """Every byte that a run published, by path; no locks, sidecars or partial folders."""

    def read(project: Path) -> dict[str, bytes]:
        found = [p for p in (project / "artifacts").rglob("*") if p.is_file()]
        found += [
            project / "report/index.html",
            *(project / "report/page").rglob("*.*"),
            *(project / "metrics").rglob("*.json"),
            *(project / "plots").rglob("*.*"),
        ]
        named = {path.relative_to(project).as_posix(): path for path in found if path.is_file()}
        return {name: path.read_bytes() for name, path in named.items() if not name.endswith((".lock", ".run.json"))}

    return read


@pytest.fixture(scope="session")
def entries() -> Callable[..., set[str]]:
    """What DVC calls stages of dvc.yaml, one a split: entries("eigen", "cluster"); entries() are all of them."""

    def named(*names: str) -> set[str]:
        both = {name: {f"{name}@train", f"{name}@val"} for name, entry in DVC_STAGES.items() if "foreach" in entry}
        return {entry for name in names or DVC_STAGES for entry in both.get(name, {name})}

    return named


@pytest.fixture(scope="session")
def repro(command: Command) -> Callable[..., set[str]]:
    """Run `dvc repro` and return the stages that it ran."""

    def run(project: Path, **variables: str) -> set[str]:
        text = command(project, "dvc", "repro", **variables).stdout
        settled = re.findall(r"^Stage '(.+?)' (?:didn't change|is cached)", text, re.MULTILINE)
        ran = re.findall(r"^Running stage '(.+?)':", text, re.MULTILINE)
        assert not set(ran) & set(settled)
        assert len(ran) + len(settled) == len(set(ran) | set(settled)) >= len(DVC_STAGES)
        return set(ran)

    return run


@pytest.fixture(scope="session")
def reruns(command: Command) -> Callable[[Path], set[str]]:
    """What `dvc repro` would run after an edit.

    The stages are brought up to date in this process, and dvc.lock stays as it was. DVC then names those of which a
    dependency or the command is not what dvc.lock says, and they are what it would have run.
    """

    def run(project: Path) -> set[str]:
        opened = Project.open(STAGES, project)
        write_plans(opened)
        run_chain(opened, Execution(), STAGES)
        status = json.loads(command(project, "dvc", "status", "--json").stdout)
        return {stage for stage, found in status.items() if any("changed outs" not in one for one in found)}

    return run


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, command: Command, edit: Edit) -> Path:
    """The demo with three images for each split after `usseg run`, without the sources. Copy it; never write to it."""
    project = tmp_path_factory.mktemp("demo") / "p"
    for kind, split in product(("images", "labels"), ("train", "val")):
        folder = Path("data/demo") / kind / split
        (project / folder).mkdir(parents=True)
        for path in sorted((ROOT / folder).iterdir())[1:4]:
            shutil.copy(path, project / folder)
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, project / name)
    edit(project, PINNED)
    command(project, "git", "init", "-q")
    command(project, "dvc", "init", "-q")
    command(project, "dvc", "config", "core.analytics", "false")
    command(project, "usseg", "run", "--workers", "1")
    return project


@pytest.fixture
def demo_copy(demo: Path, tmp_path: Path) -> Path:
    """A copy of the demo."""
    return Path(shutil.copytree(demo, tmp_path / "copy", symlinks=True))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test in this folder is slow."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
