"""Small projects in which tests run stages. Every run has one worker, so Dask is not used."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Set before the import of the libraries that read them. Tests run in parallel: more threads than cores are slow.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
# Tests ask no hub, and do not depend on the weights that this machine has.
os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_CACHE=str(Path(__file__).parent / "no-weights"))

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML
from threadpoolctl import threadpool_limits

from usseg.pipeline.artifact import Artifact, artifact_path, open_artifact
from usseg.pipeline.checkpoint import Checkpoint
from usseg.pipeline.execution import Execution
from usseg.pipeline.project import Project as Opened
from usseg.pipeline.runner import run_stage
from usseg.stages import STAGES

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).resolve().parents[1]
HEIGHT, WIDTH = 48, 64
SMALL = {
    "index.root": "data",
    "index.splits": {
        "train": {"images": "images/train/*", "labels": "labels/train/*"},
        "val": {"images": "images/val/*", "labels": "labels/val/*"},
    },
    "index.classes": ["left", "right"],
    "features.options.stride": 8,
    "eigen.k": 5,
    "segmenter.options": {"epochs": 3, "prototypes": 3, "updates": 1},
    "segments.options.num_segments": 3,
    "cluster.k": 2,
    "refine.method": "none",
    "report.max_images": 2,
    "report.max_segments": 3,
}


def write_params(project: Path, edits: dict[str, Any]) -> None:
    """Edit params.yaml of a project. A project without one gets a copy of the repository's.

    Args:
        project: the project folder.
        edits: key -> value; keys like `eigen.k` or `cluster.options.n_init`. A changed method gets default options.
    """
    yaml = YAML(typ="safe")
    source = project / "params.yaml"
    content = yaml.load((source if source.exists() else ROOT / "params.yaml").read_text())
    for dotted, value in edits.items():
        section, *parents, key = dotted.split(".")
        values = content.setdefault(section, {})
        if key in ("method", "backbone", "affinity") and values.get(key) != value:
            values.pop("options", None)
        for parent in parents:
            values = values.setdefault(parent, {})
        values[key] = value
    with source.open("w") as stream:
        yaml.dump(content, stream)


def photo(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Two noisy halves of different colours, RGB uint8 (height, width, 3)."""
    rng = np.random.default_rng(seed)
    image = np.where(np.arange(width)[None, :, None] < width // 2, [200, 120, 40], [40, 90, 160])
    return np.clip(image + rng.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)


def halves(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """The label image of `photo`, uint8 (height, width): 0 left, 1 right, 255 along the border between them."""
    labels = np.tile((np.arange(width) >= width // 2).astype(np.uint8), (height, 1))
    labels[:, width // 2] = 255
    return labels


def save(path: Path, pixels: np.ndarray) -> Path:
    """Write pixels as an image file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def small_project(folder: Path) -> Path:
    """Write six images of 48 x 64 in two splits, their label images, and params with the lowlevel backbone."""
    for split, count in (("train", 4), ("val", 2)):
        for i in range(count):
            save(folder / f"data/images/{split}/photo{i}.png", photo(i + 10 * (split == "val")))
            save(folder / f"data/labels/{split}/photo{i}.png", halves())
    write_params(folder, SMALL)
    return folder


class Memory(Checkpoint):
    """Checkpoint in memory: it saves every state. With `limit` it interrupts the run after this number of states."""

    def __init__(self, last: bytes | None = None, limit: int | None = None) -> None:
        super().__init__()
        self.kept, self.limit = [] if last is None else [last], limit

    def load(self) -> bytes | None:
        return self.kept[-1] if self.kept else None

    def save(self, state: Callable[[], bytes]) -> None:
        self.kept.append(state())
        if len(self.kept) == self.limit:
            raise KeyboardInterrupt


def scores_of(project: Path, split: str) -> dict[str, Any]:
    """The main scores of a split and their details, from both files. A value of NaN or infinity is refused."""
    files = [project / "metrics" / f"{split}.json", project / "metrics/details" / f"{split}.json"]
    scores, details = (json.loads(path.read_text(), parse_constant=pytest.fail) for path in files)
    assert not scores.keys() & details.keys()
    return {**details, **scores}


class Project:
    """A temporary project and the stages run in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def set(self, edits: dict[str, Any]) -> None:
        write_params(self.path, edits)

    def run(self, stage: str, split: str = "train", **options: Any) -> Artifact:
        return open_artifact(run_stage(Opened.open(STAGES, self.path), stage, split, Execution(**options)))

    def run_all(self, *names: str) -> None:
        """Run stages in order, each for all of its splits."""
        for name in names:
            scope = STAGES[name].scope
            for split in {"each": ["train", "val"], "fit": ["train"], "all": ["all"]}[scope]:
                self.run(name, split)

    def train_segmenter(self) -> None:
        """Run the stage segmenter, even if the methods of params.yaml do not need it."""
        before = (self.path / "params.yaml").read_text()
        self.set({"segments.method": "acg"})
        self.run("segmenter")
        (self.path / "params.yaml").write_text(before)

    def artifact(self, stage: str, split: str = "train") -> Artifact:
        return open_artifact(artifact_path(self.path, stage, split))

    def scores(self, split: str = "train") -> dict[str, Any]:
        return scores_of(self.path, split)

    def files(self, folder: str = "artifacts") -> dict[str, bytes]:
        """Path -> content of every file below a folder, without lock files."""
        paths = sorted(p for p in (self.path / folder).rglob("*") if p.is_file() and p.suffix != ".lock")
        return {p.relative_to(self.path).as_posix(): p.read_bytes() for p in paths}


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Use one BLAS thread, as in a stage. Tests run in parallel, and more threads than cores are slow."""
    with threadpool_limits(limits=1):
        yield


@pytest.fixture(scope="session")
def edit() -> Callable[[Path, dict[str, Any]], None]:
    """Edit params.yaml: edit(project, {"eigen.k": 4})."""
    return write_params


@pytest.fixture
def tiny_project(tmp_path: Path) -> Project:
    """A project with six images of 48 x 64 in two splits, with labels. No stage has been run."""
    return Project(small_project(tmp_path))


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny project with three more images in train:

    constant, one token, wide. Stages up to segmenter have been run.

    Copy the project; never write to it.
    """
    project = Project(small_project(tmp_path_factory.mktemp("odd")))
    images = {"constant": np.full((HEIGHT, WIDTH, 3), 128, np.uint8), "dot": photo(1, 5, 5), "wide": photo(2, 50, 90)}
    for name, pixels in images.items():
        save(project.path / f"data/images/train/{name}.png", pixels)
        save(project.path / f"data/labels/train/{name}.png", halves(*pixels.shape[:2]))
    project.run_all("index", "features", "eigen")
    project.train_segmenter()
    return project.path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny project after all stages. Copy it; never write to it."""
    project = Project(small_project(tmp_path_factory.mktemp("finished")))
    project.run_all(*STAGES)
    return project.path


@pytest.fixture(scope="session")
def copied() -> Callable[[Path, Path], Project]:
    """Copy a project to a folder: copied(source, folder)."""

    def copy(source: Path, folder: Path) -> Project:
        shutil.copytree(source, folder, dirs_exist_ok=True)
        return Project(folder)

    return copy


@pytest.fixture
def odd_project(odd: Path, tmp_path: Path, copied: Callable[[Path, Path], Project]) -> Project:
    """A copy of the odd project."""
    return copied(odd, tmp_path)


@pytest.fixture
def finished_project(finished: Path, tmp_path: Path, copied: Callable[[Path, Path], Project]) -> Project:
    """A copy of the tiny project after all stages."""
    return copied(finished, tmp_path)


@pytest.fixture(scope="session")
def read_scores() -> Callable[[Path, str], dict[str, Any]]:
    """The main scores of a split and their details: read_scores(project, split)."""
    return scores_of


@pytest.fixture
def checkpoints() -> type[Memory]:
    return Memory


@pytest.fixture(scope="session")
def save_image() -> Callable[[Path, np.ndarray], Path]:
    return save


@pytest.fixture
def draw_photo() -> Callable[..., np.ndarray]:
    return photo


def random_dino_state() -> "dict[str, torch.Tensor]":
    """Weights of a random ViT in the official DINO layout.

    24 channels, 2 blocks, patches of 8, positions of a 4 x 4 grid.
    """
    import torch

    channels, depth, patch, side = 24, 2, 8, 4
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> "torch.Tensor":
        return torch.randn(*shape, generator=generator) * 0.2

    state = {
        "cls_token": draw(1, 1, channels),
        "pos_embed": draw(1, 1 + side * side, channels),
        "patch_embed.proj.weight": draw(channels, 3, patch, patch),
        "patch_embed.proj.bias": draw(channels),
        "norm.weight": 1 + draw(channels),
        "norm.bias": draw(channels),
    }
    for block in range(depth):
        shapes = {
            "norm1": (channels,), "attn.qkv": (3 * channels, channels), "attn.proj": (channels, channels),
            "norm2": (channels,), "mlp.fc1": (4 * channels, channels), "mlp.fc2": (channels, 4 * channels),
        }  # fmt: skip
        for name, shape in shapes.items():
            state[f"blocks.{block}.{name}.weight"] = draw(*shape)
            state[f"blocks.{block}.{name}.bias"] = draw(shape[0])
    return state


@pytest.fixture
def dino_state() -> "dict[str, torch.Tensor]":
    """Weights of a random ViT; see `random_dino_state`."""
    return random_dino_state()


@pytest.fixture(scope="session")
def draw_dino_state() -> "Callable[[], dict[str, torch.Tensor]]":
    """The function `random_dino_state`, for fixtures of a wider scope."""
    return random_dino_state
