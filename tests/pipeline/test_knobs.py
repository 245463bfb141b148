"""Every option of every method is read: another value changes the artifact, or is refused."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from pydantic.fields import FieldInfo

from usseg.pipeline.errors import ParamsError, WeightsError
from usseg.pipeline.project import Project
from usseg.stages import STAGES

ROOT = Path(__file__).resolve().parents[2]
SMALL_ACG = {"prototypes": 3, "updates": 2, "heads": 2, "hidden": 8, "epochs": 3, "batch": 2, "lr": 0.01}
SMALL_SEMPART = {"width": 4, "epochs": 2, "batch": 2, "consistency": 0.5}
SMALL_ABC = {"hidden": 8, "epochs": 4, "batch": 16, "lr": 0.01}
SMALL_EM = {"init_epochs": 1, "epochs": 4, "batch": 2, "teacher_steps": 1}
ONE_MASK = {"labels": "each", "min_iou": 0.5}
COLORS = {"color_weight": 2.0}
# Options that a method needs beside the one that is changed, and other sections.
CONTEXT: dict[str, dict[str, Any]] = {
    "features.vit": {"features.options.name": "vit_tiny_patch16_224", "features.options.weights": "vit.pth"},
    "features.checkpoint": {"features.options.weights": "dino.pth"},
    "features.cnn": {"features.options.name": "resnet18", "features.options.weights": "cnn.pth"},
    **{f"eigen.{name}": {f"eigen.options.{key}": value for key, value in COLORS.items()}
       for name in ("cos_relu", "cos_mean_relu", "cos_third_relu", "binary", "simsam", "simsam_released", "pca", "affinity")},
    "segmenter.acg": {"segments.method": "acg", **{f"segmenter.options.{key}": value for key, value in SMALL_ACG.items()}},
    "segmenter.sempart": {"segments.method": "sempart", **{f"segmenter.options.{key}": value for key, value in SMALL_SEMPART.items()}},
    "crops.masked_image": {"features.backbone": "checkpoint", "features.options.weights": "dino.pth", "features.options.attention": True},
    "cluster.kmeans": {"cluster.k": 7},
    "cluster.ot": {"cluster.k": 5},
    "cluster.abc": {"cluster.k": 4, **{f"cluster.options.{key}": value for key, value in SMALL_ABC.items()}},
    "cluster.primaps_em": {"cluster.k": 4, "cluster.rows": "tokens", "segments.method": "primaps", **{f"cluster.options.{key}": value for key, value in SMALL_EM.items()}},
    "evaluate.classes": {"index.classes": ["sky", "water", "grass", "sand", "foliage", "brick", "nowhere"], "cluster.k": 9},
    "evaluate.objects": {"refine.source": "segments"},
}  # fmt: skip
OTHER: dict[str, Any] = {  # values that show that the option is read
    "features.vit.name": "vit_small_patch16_224",  # refused: not the shapes of the weights
    "features.vit.weights": "other.pth",
    "features.checkpoint.weights": "other_dino.pth",
    "features.checkpoint.num_heads": 3,
    "features.cnn.name": "resnet26",
    "features.cnn.weights": "other_cnn.pth",
    "features.cnn.stride": 8,
    "features.vit.posembed": "dino",
    "features.checkpoint.posembed": "timm",
    "eigen.pca.components": 2,
    "eigen.simsam.batch": 2,
    "segmenter.sempart.window": 48,
    "segments.spectral.num_eigenvectors": 1,
    "segments.tokencut.eps": 0.3,
    "segments.tokencut.tau": 0.9,
    "segments.maskcut.tau": 0.9,
    "segments.maskcut.eps": 0.5,
    "segments.maskcut.masks": 1,
    "segments.primaps.masks": 1,
    "segments.primaps.coverage": 0.2,
    "segments.fiedler.threshold": 0.05,
    "cluster.kmeans.n_init": 1,
    "cluster.kmeans.iterations": 1,
    "cluster.ot.iterations": 1,
    "cluster.ot.epsilon": 1.0,
    "cluster.abc.architecture": "mlp",
    "cluster.abc.batch": 3,
    "cluster.abc.upper_exponent": 3.0,
    "cluster.primaps_em.batch": 1,
    "crops.crop.erode": 0,
    "crops.mean.erode": 0,
    "refine.bilateral_solver.min_iou": 1.0,
    "refine.bilateral_solver.iterations": 1,
    "refine.crf.iterations": 1,
}
ALSO: dict[str, dict[str, Any]] = {  # what else must hold so that the option matters
    "refine.crf.min_iou": {"refine.options.labels": "each"},
    "refine.bilateral_solver.min_iou": {
        "segments.method": "fiedler",
        "refine.source": "segments",
        "evaluate.method": "objects",
    },
    "evaluate.classes.absent": {"cluster.k": 3},
    "segments.maskcut.released": {"segments.options.masks": 8, "segments.options.tau": 0.6},
    "segments.maskcut.masks": {"segments.options.masks": 8, "segments.options.tau": 0.6},
}
ELSEWHERE = {"evaluate.objects.pick"}  # an object in pieces, held against boxes: tests/evaluate/test_objects.py
KNOBS = [
    f"{stage}.{name}.{key}"
    for stage, declared in STAGES.items()
    if declared.methods is not None
    for name, entry in declared.methods().items()
    for key in entry.options.model_fields
    if f"{stage}.{name}.{key}" not in ELSEWHERE
]


def another(field: FieldInfo, value: Any) -> Any:
    """A valid value that is not this one."""
    kind = field.annotation
    if isinstance(value, bool):
        return not value
    if get_origin(kind) is Literal:
        return next(option for option in get_args(kind) if option != value)
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value * 0.5 if value else 0.5
    raise AssertionError(f"{kind}, {value!r}: name another value in OTHER")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, draw_dino_state: Callable[[], dict[str, torch.Tensor]]) -> Path:
    """Random weights of two seeds for every backbone that has some."""
    import timm

    folder = tmp_path_factory.mktemp("weights")
    for prefix, seed in (("", 0), ("other_", 1)):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            torch.save(timm.create_model("vit_tiny_patch16_224").state_dict(), folder / f"{prefix}vit.pth")
            torch.save(timm.create_model("resnet18").state_dict(), folder / f"{prefix}cnn.pth")
        scaled = {key: values * (1 + seed / 2) for key, values in draw_dino_state().items()}
        torch.save(scaled, folder / f"{prefix}dino.pth")
    (folder / "other.pth").write_bytes((folder / "other_vit.pth").read_bytes())
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, weights: Path, copied: Callable[[Path, Path], Any]) -> Path:
    """Three photos of the demo, small, up to stage evaluate, with the weights beside params.yaml."""
    folder = tmp_path_factory.mktemp("photos")
    for kind, suffix in (("images", "jpg"), ("labels", "png")):
        (folder / f"data/{kind}").mkdir(parents=True)
        for path in sorted((ROOT / f"data/demo/{kind}/train").glob(f"*.{suffix}"))[:3]:
            shutil.copy(path, folder / f"data/{kind}")
    for file in weights.iterdir():
        shutil.copy(file, folder)
    project = copied(folder, tmp_path_factory.mktemp("knobs"))
    splits = {"train": {"images": "images/*", "labels": "labels/*"}}
    project.set({"index.root": "data", "index.splits": splits, "features.resize": 90, "features.options.stride": 8,
                 "eigen.k": 8, "segments.background": "border", "segments.options.num_segments": 6, "cluster.k": 5,
                 "refine.foreground": True})  # fmt: skip
    for name in STAGES:
        if name not in ("segmenter", "report"):
            project.run(name)
    return project.path


def arrays(project: Any, stage: str) -> dict[str, bytes]:
    """The files of an artifact's arrays."""
    folder = project.path / f"artifacts/{stage}/train.zarr"
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("c/**/*")) if p.is_file()}


def before(stage: str) -> Iterator[str]:
    """The stages before one."""
    for name in STAGES:
        if name == stage:
            return
        yield name


@pytest.mark.slow
@pytest.mark.parametrize("knob", KNOBS)
def test_an_option_changes_the_artifact_or_is_refused(
    knob: str, base: Path, tmp_path: Path, copied: Callable[[Path, Path], Any]
) -> None:
    stage, name, key = knob.split(".")
    project = copied(base, tmp_path)
    context = {f"{stage}.{STAGES[stage].choice}": name, **CONTEXT.get(f"{stage}.{name}", {})}
    project.set({**context, **ALSO.get(knob, {})})
    opened = Project.open(STAGES, project.path)
    options = opened.params[stage].options  # type: ignore[attr-defined]
    field, value = type(options).model_fields[key], getattr(options, key)
    needed = [one for one in before(stage) if one in opened.needed]
    for one in needed:
        project.run(one, "all" if STAGES[one].scope == "all" else "train")
    project.run(stage)
    first = arrays(project, stage)
    project.set({f"{stage}.options.{key}": OTHER[knob] if knob in OTHER else another(field, value)})
    try:
        for one in needed:
            project.run(one)
        project.run(stage)
    except (ParamsError, WeightsError):
        return  # refused
    changed = arrays(project, stage) != first
    assert changed, f"{knob}: {value!r} or {OTHER.get(knob)!r}: nothing changed"
