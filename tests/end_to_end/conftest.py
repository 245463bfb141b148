"""Projects that are run by the real commands, `usseg` and `dvc`, in processes of their own."""

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

from usseg.stages import STAGES

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    "index.root": "data",
    "index.splits": {"train": {"images": "images/*", "labels": "labels/*"}},
    "index.classes": ["left", "right"],
    "features.backbone": "lowlevel",
    "eigen.k": 5,
    "model.options": {"epochs": 6, "prototypes": 3, "updates": 1},
    "segments.method": "spectral",
    "segments.num_segments": 4,
    "segments.background": "none",
    "crops.method": "mean",
    "cluster.method": "kmeans",
    "cluster.k": 3,
    "cluster.options": {},
    "cluster.channel_weights": [],
    "report.max_images": 3,
    "report.max_segments": 3,
}
DVC_STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
# What the tests of `dvc repro` count on; the defaults may change.
PINNED = {
    "features.backbone": "lowlevel",
    "model.options": {"epochs": 2, "updates": 1},
    "segments.min_tokens": 0,
    "segments.background": "none",
    "crops.method": "mean",
    "crops.options.erode": 0,
    "crops.options.dilate": 0,
    "refine.method": "none",
    "evaluate.matching": "count",
}


def edit_params(project: Path, edits: dict[str, Any]) -> None:
    """Edit params.yaml in place (keys like `eigen.k`); a project without one gets the repository's."""
    yaml = YAML()
    path = project / "params.yaml"
    content = yaml.load((path if path.exists() else ROOT / "params.yaml").read_text())
    for dotted, value in edits.items():
        *sections, key = dotted.split(".")
        place = content
        for section in sections:
            place = place[section]
        place[key] = value
    with path.open("w") as stream:
        yaml.dump(content, stream)


def command_environment(home: Path) -> dict[str, str]:
    """The environment of a user with `usseg` and `dvc` installed, and nothing of this machine's git and dvc settings."""
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
def edit() -> Callable[[Path, dict[str, Any]], None]:
    """Edit params.yaml: edit(project, {"eigen.k": 4})."""
    return edit_params


@pytest.fixture(scope="session")
def command(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command in a project: command(project, "usseg", "stage", "index", ...). It must succeed."""

    def run(project: Path, *args: str, timeout: int = 300) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            args, cwd=project, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )
        assert done.returncode == 0, f"{' '.join(args)}\n{done.stdout}\n{done.stderr}"
        return done

    return run


@pytest.fixture(scope="session")
def draw_project() -> Callable[..., Path]:
    """Write a project with one split, train: draw_project(folder, number of images, [(height, width), ...])."""

    def write(folder: Path, count: int, sizes: list[tuple[int, int]], edits: dict[str, Any] | None = None) -> Path:
        for kind in ("images", "labels"):
            (folder / "data" / kind).mkdir(parents=True)
        for i in range(count):
            height, width = sizes[i % len(sizes)]
            truth = np.tile((np.arange(width) >= width // 2).astype(np.uint8), (height, 1))
            Image.fromarray(draw(i, height, width)).save(folder / f"data/images/photo{i:04d}.png")
            Image.fromarray(truth).save(folder / f"data/labels/photo{i:04d}.png")
        edit_params(folder, {**SMALL, **(edits or {})})
        return folder

    return write


@pytest.fixture(scope="session")
def chain(command: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., None]:
    """Run every stage by the command: chain(project, "--workers", "2")."""

    def run(project: Path, *options: str) -> None:
        for stage in STAGES.values():
            split = [] if stage.scope == "all" else ["--split", "train"]
            command(project, "usseg", "stage", stage.name, *split, *options)

    return run


@pytest.fixture(scope="session")
def reference(
    tmp_path_factory: pytest.TempPathFactory, draw_project: Callable[..., Path], chain: Callable[..., None]
) -> Path:
    """100 images of three sizes, four blocks, after an uninterrupted run by one process; copy it, never write to it."""
    project = draw_project(tmp_path_factory.mktemp("reference") / "p", 100, [(40, 48), (48, 40), (32, 64)])
    chain(project, "--workers", "1")
    return project


@pytest.fixture(scope="session")
def artifact_files() -> Callable[[Path], dict[str, bytes]]:
    """Every byte that a run published, by path; no locks, sidecars or partial folders."""

    def read(project: Path) -> dict[str, bytes]:
        found = [p for p in (project / "artifacts").rglob("*") if p.is_file()]
        found += [project / "report/index.html", *(project / "metrics").glob("*"), *(project / "plots").rglob("*.*")]
        named = {p.relative_to(project).as_posix(): p for p in found if p.is_file()}
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
def repro(command: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[[Path], set[str]]:
    """Run `dvc repro` and return the stages that it ran."""

    def run(project: Path) -> set[str]:
        text = command(project, "dvc", "repro").stdout
        settled = re.findall(r"^Stage '(.+?)' (?:didn't change|is cached)", text, re.MULTILINE)
        ran = re.findall(r"^Running stage '(.+?)':", text, re.MULTILINE)
        assert not set(ran) & set(settled)
        assert len(ran) + len(settled) == len(set(ran) | set(settled)) >= len(DVC_STAGES)
        return set(ran)

    return run


@pytest.fixture(scope="session")
def demo(
    tmp_path_factory: pytest.TempPathFactory,
    command: Callable[..., subprocess.CompletedProcess[str]],
    repro: Callable[[Path], set[str]],
    edit: Callable[[Path, dict[str, Any]], None],
    entries: Callable[..., set[str]],
) -> Path:
    """The demo of the repository with three images a split, after its first `dvc repro`; copy it, never write to it."""
    project = tmp_path_factory.mktemp("demo") / "usseg"
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for folder in ("pipeline", "stages", "results"):
        shutil.copytree(ROOT / folder, project / folder, ignore=ignored)
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, project / name)
    for kind, split in product(("images", "labels"), ("train", "val")):
        folder = Path("data/demo") / kind / split
        (project / folder).mkdir(parents=True)
        for path in sorted((ROOT / folder).iterdir())[1:4]:
            shutil.copy(path, project / folder)
    edit(project, PINNED)
    command(project, "git", "init", "-q")
    command(project, "dvc", "init", "-q")
    command(project, "dvc", "config", "core.analytics", "false")
    assert repro(project) == entries()
    return project


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test in this folder is slow."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
