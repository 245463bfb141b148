"""Recipes are valid, complete and independent of each other, and have the numbers of their sources."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from usseg.pipeline.params import read_params
from usseg.pipeline.project import Project
from usseg.results.recipes import FOLDER, RECIPES, USERS_SECTIONS, apply_recipe
from usseg.stages import STAGES

ROOT = Path(__file__).resolve().parents[2]
INDEX = {"root": ".", "splits": {"train": {"images": "*"}}}
ODD: dict[str, Any] = {  # a valid value that no recipe has, in every section
    "features": {"backbone": "vit", "fit": "resize", "dtype": "float16", "options": {"name": "vit_tiny_patch16_224", "precision": "bfloat16"}},
    "eigen": {"affinity": "binary", "options": {"tau": 0.7, "color_weight": 3.0, "color": "rw", "solver": "dense"}},
    "segmenter": {"options": {"epochs": 3}},
    "segments": {"method": "kmeans", "min_tokens": 7, "options": {"n_init": 3}},
    "crops": {"method": "mean", "options": {"spread": True}},
    "cluster": {"pca": 9, "whiten": True, "options": {"metric": "cosine", "area_weight": 0.3}},
    "assign": {"background_collision": False},
    "refine": {"method": "bilateral_solver", "options": {"xy": 4.0}},
    "evaluate": {"options": {"surplus": "majority"}},
}  # fmt: skip
KEPT = {"cluster": {"seed": 5}, "segments": {"seed": 6}, "segmenter": {"seed": 7}}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    return tmp_path


def resolved(content: dict[str, Any]) -> dict[str, Any]:
    """The complete params after a recipe."""
    params = Project.of(STAGES, ROOT, content).params
    return {name: params[name].model_dump(mode="json") for name in params if name not in USERS_SECTIONS}


def alone(name: str) -> dict[str, Any]:
    """The complete params of a single recipe."""
    settings = {section: keys for section, keys in RECIPES[name].settings.items() if section != "index"}
    return resolved({"index": {**INDEX, "classes": ["a"]}, **settings})


def apply(project: Path, *names: str) -> dict[str, Any]:
    """The complete params after several recipes."""
    for name in names:
        list(apply_recipe(STAGES, project, name))
    return resolved(read_params(project))


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_gives_valid_params_and_keeps_comments(project: Path, name: str) -> None:
    comments = [line for line in (ROOT / "params.yaml").read_text().splitlines() if line.startswith("#")]
    assert comments
    list(apply_recipe(STAGES, project, name))
    text = (project / "params.yaml").read_text()
    assert all(comment in text for comment in comments)
    assert resolved(read_params(project)) == alone(name)
    assert list(apply_recipe(STAGES, project, name)) == [f"params.yaml already holds recipe {name}"]


@pytest.mark.parametrize("first", RECIPES)
def test_every_recipe_after_every_other_is_that_recipe_alone(first: str, project: Path) -> None:
    for second in RECIPES:
        assert apply(project, first, second) == alone(second), (first, second)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_leaves_nothing_of_the_user_but_seeds_and_weights(project: Path, name: str) -> None:
    edited = {section: {**keys, **KEPT.get(section, {})} for section, keys in ODD.items()}
    (project / "params.yaml").write_text(json.dumps({"index": INDEX, **edited}))
    found, expected = apply(project, name), alone(name)
    for section, keys in KEPT.items():
        expected[section] |= keys
    assert found == expected


def test_the_weights_of_the_user_stay(project: Path) -> None:
    own = {"features": {"backbone": "vit", "options": {"name": "vit_tiny_patch16_224", "weights": "my.pth"}}}
    (project / "params.yaml").write_text(json.dumps({"index": INDEX, **own}))
    assert apply(project, "dsm")["features"]["options"]["weights"] == "my.pth"


def test_every_file_has_a_header() -> None:
    assert list(RECIPES) == sorted(path.stem for path in FOLDER.iterdir() if path.suffix == ".toml")
    for recipe in RECIPES.values():
        assert recipe.summary
        assert recipe.source
        assert recipe.claims


DSM_CRF = {
    **{"bilateral_weight": 10, "bilateral_xy": 80, "bilateral_rgb": 13, "gaussian_weight": 3, "gaussian_xy": 3},
    **{"iterations": 5, "floor": 1e-5},
}
PRIMAPS_CRF = {
    **{"bilateral_weight": 4, "bilateral_xy": 67, "bilateral_rgb": 3, "gaussian_weight": 3, "gaussian_xy": 1},
    **{"iterations": 10, "floor": 0.3679, "evidence": "linear"},
}
MASKCUT_CRF = {
    **{"bilateral_weight": 10, "bilateral_xy": 50, "bilateral_rgb": 5, "gaussian_weight": 7, "gaussian_xy": 3},
    **{"iterations": 10, "floor": 0.3679, "labels": "each", "min_iou": 0.5},
}
SOURCES: dict[str, dict[str, Any]] = {
    # Deep Spectral Methods: its README (K, segments, erosion, dilation) and the defaults of its functions.
    "dsm": {
        **{
            "features.options.name": "vit_small_patch16_224.dino",
            "features.options.facet": "key",
            "features.resize": None,
        },
        **{
            "eigen.k": 5,
            "eigen.options.color_weight": 0.0,
            "eigen.affinity": "cos_relu",
            "segments.options.num_segments": 15,
        },
        **{
            "crops.method": "crop",
            "crops.options.erode": 2,
            "crops.options.dilate": 5,
            "cluster.k": 20,
            "cluster.pca": 0,
        },
        **{"evaluate.options.matching": "iou", "evaluate.options.absent": "zero"},
    },
    "dsm-released": {
        "eigen.k": 5,
        "cluster.k": 20,
        "assign.background_collision": True,
        "refine.upsampling": "stretch",
    },
    "dsm-objects": {
        **{"eigen.k": 2, "segments.method": "fiedler", "segments.options": {"threshold": 0}},
        **{"refine.method": "crf", "refine.options": DSM_CRF, "refine.source": "segments"},
    },
    "dsm-boxes": {
        "eigen.k": 2,
        "segments.method": "fiedler",
        "refine.method": "none",
        "evaluate.options.pick": "area8",
    },
    # The semester report, sections 3 and 4, tables 1 to 5, and its code.
    "kmeans-report": {"eigen.k": 5, "cluster.method": "kmeans", "cluster.k": 21, "assign.background_collision": True},
    "otc": {
        **{"eigen.k": 5, "cluster.k": 21, "assign.background_collision": True},
        "cluster.options": {"epsilon": 0.02, "sinkhorn_iterations": 10, "iterations": 200},
    },
    "abc": {
        **{"eigen.k": 5, "cluster.k": 21, "assign.background_collision": True},
        "cluster.options": {
            **{
                "architecture": "attn_mlp",
                "mlp_residual": True,
                "floor_thresholds": False,
                "hidden": 512,
                "dropout": 0.1,
            },
            **{"lower_exponent": 2, "upper_exponent": 0.5, "lr": 3e-5, "batch": 4096, "epochs": 500},
        },
    },
    "abc-released": {
        **{"eigen.k": 5, "cluster.k": 21, "assign.background_collision": True},
        "cluster.options": {
            **{
                "architecture": "attn_mlp",
                "mlp_residual": False,
                "floor_thresholds": True,
                "hidden": 512,
                "dropout": 0.1,
            },
            **{"lower_exponent": 2, "upper_exponent": 0.5, "lr": 3e-5, "batch": 4096, "epochs": 500},
        },
    },
    "dsm-masked": {
        "eigen.k": 5,
        "cluster.k": 21,
        "assign.background_collision": True,
        "crops.method": "masked_attention",
    },
    "acg": {
        **{"features.resize": [256, 256], "cluster.k": 21, "assign.background_collision": True},
        "segmenter.options": {
            **{"prototypes": 6, "updates": 6, "heads": 6, "hidden": 256, "dropout": 0.1, "lr": 3e-4},
            **{"weight_decay": 0.01, "batch": 1024, "epochs": 400, "zero_diag": True},
        },
    },
    # TokenCut: sections 3 and 4, and the arguments of its code.
    "tokencut": {
        **{
            "features.options.name": "vit_small_patch16_224.dino",
            "features.options.facet": "key",
            "refine.method": "none",
        },
        **{"features.resize": None, "features.fit": "pad"},
        "segments.options": {"tau": 0.2, "eps": 1e-5, "binary": True},
    },
    # "Two tricks", appendix A, and its code.
    "sempart": {
        **{"features.options.name": "vit_small_patch8_224.dino", "features.options.facet": "key"},
        **{
            "features.resize": 320,
            "features.fit": "square",
            "segmenter.method": "sempart",
            "segments.method": "sempart",
        },
        **{f"segmenter.options.{key}": 1.0 for key in ("coarse_variation", "fine_variation", "disagreement", "sigma")},
        **{"segmenter.options.tau": 0.4, "segmenter.options.eps": 1e-6, "segmenter.options.consistency": 0.0},
        **{"segmenter.options.lr": 1e-4, "segmenter.options.batch": 8, "segmenter.options.epochs": 30},
        **{"segmenter.options.width": 128, "segmenter.options.window": 320, "segmenter.options.augment": True},
        **{"refine.method": "sempart", "evaluate.options.protocol": "crop320"},
    },
    "sempart-tricks": {
        **{"segmenter.options.consistency": 0.01, "segmenter.options.crop_ratio": 0.5},
        **{"segmenter.options.crop_place": "random", "segmenter.options.lr": 1e-4},
        **{"segmenter.options.teacher_radius": 9, "segmenter.options.teacher_eps": 1e-3},
        "refine.method": ["sempart", "guided_filter"],
        "refine.options": {"sempart": {}, "guided_filter": {"radius": 9, "eps": 1e-3, "guide": "gray"}},
    },
    "tokencut-saliency": {
        "features.fit": "resize",
        "refine.method": "bilateral_solver",
        "refine.options": {
            **{"xy": 16, "luma": 16, "chroma": 8, "smoothness": 256, "confidence": 0.999},
            **{"iterations": 25, "min_iou": 0.5},
        },
    },
    # CutLER: the documented command of MaskCut, and its code.
    "maskcut": {
        **{"features.options.name": "vit_base_patch8_224.dino", "features.resize": [480, 480]},
        **{
            "segments.options": {"tau": 0.15, "eps": 1e-5, "masks": 3},
            "crops.options.erode": 6,
            "crops.options.dilate": 12,
        },
        "refine.options": MASKCUT_CRF,
    },
    # PriMaPs: its README and code.
    "primaps": {
        **{"features.options.name": "vit_small_patch8_224.dino", "features.options.facet": "token"},
        **{"features.resize": 320, "features.fit": "square", "evaluate.options.protocol": "crop320"},
        **{"evaluate.options.background": "ignored", "refine.options": PRIMAPS_CRF},
        **{
            "segments.options": {"threshold": 0.4, "coverage": 0.95},
            "cluster.k": 27,
            "evaluate.options.surplus": "many_to_one",
        },
    },
    "primaps-em": {
        **{"features.options.name": "vit_small_patch8_224.dino", "features.options.facet": "token"},
        **{"features.resize": 320, "features.fit": "square", "evaluate.options.protocol": "crop320"},
        **{"segments.method": "primaps", "segments.background": "border", "refine.options": PRIMAPS_CRF},
        **{"cluster.method": "primaps_em", "cluster.rows": "tokens", "cluster.k": 27, "cluster.pca": 0},
        "cluster.options": {
            **{"start": "pca", "init_epochs": 2, "epochs": 50, "batch": 32, "lr": 5e-3, "gamma": 2},
            **{"logit_scale": 1, "teacher_steps": 10, "teacher_decay": 0.98, "result": "teacher"},
        },
        **{"evaluate.options.matching": "count", "evaluate.options.absent": "drop"},
    },
    "primaps-baseline": {
        **{"cluster.method": "kmeans", "cluster.rows": "tokens", "cluster.options.metric": "cosine"},
        **{"cluster.k": 27, "refine.options": PRIMAPS_CRF, "evaluate.options.protocol": "crop320"},
    },
    # SimSAM: its supplement and the arguments of its code.
    "simsam": {
        **{"eigen.k": 15, "eigen.affinity": "simsam", "eigen.options": {"weight": 0.1, "epochs": 10, "lr": 0.06}},
        **{"refine.method": "crf", "refine.options": DSM_CRF},
    },
    # This project.
    "kmeans-tokens": {"cluster.rows": "tokens", "cluster.k": 21, "cluster.norm_std": False, "refine.method": "none"},
    "camvid": {"cluster.k": 11, "segments.options.num_segments": 60, "features.options.stride": 8},
}


def at(params: Any, key: str) -> Any:
    """The value of a dotted key."""
    for part in key.split("."):
        params = params[part]
    return params


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_has_the_numbers_of_its_source(name: str) -> None:
    full = alone(name)
    for key, expected in SOURCES[name].items():
        found = at(full, key)
        if isinstance(expected, dict):
            found = {part: found[part] for part in expected}
        assert found == expected, key


def test_no_pair_is_the_same_recipe() -> None:
    for one, other in itertools.combinations(RECIPES, 2):
        assert alone(one) != alone(other), f"{one} and {other}"
