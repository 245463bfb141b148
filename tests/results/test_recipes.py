"""Recipes: valid, complete, independent of each other, with the numbers of their sources."""

import importlib
import itertools
from pathlib import Path
from typing import Any

import pytest

from usseg.pipeline.errors import ParamsError
from usseg.pipeline.params import parse_section, read_params
from usseg.results.recipes import FOLDER, RECIPES, USERS, USERS_SECTIONS, apply_recipe
from usseg.stages import STAGES
from usseg.stages.eigen.stage import projection_options

ROOT = Path(__file__).resolve().parents[2]
ODD: dict[str, Any] = {  # a valid value that no recipe has, of every kind of param
    "features.attention": True,
    "features.precision": "bfloat16",
    "features.dtype": "float16",
    "features.num_heads": 3,
    "features.posembed": "timm",
    "features.stride": 13,
    "eigen.solver": "dense",
    "eigen.laplacian": "plain",
    "eigen.threshold": False,
    "eigen.normalize": False,
    "eigen.tau": 0.7,
    "eigen.color_weight": 3.0,
    "eigen.color": "rw",
    "eigen.color_align": "full",
    "eigen.legacy_double_scale": True,
    "eigen.options": {"weight": 0.7},
    "model.options": {"epochs": 3},
    "segments.min_tokens": 7,
    "segments.options": {"n_init": 3},
    "crops.spread": True,
    "cluster.pca": 9,
    "cluster.whiten": True,
    "cluster.channel_weights": [1, 2],
    "cluster.options": {"metric": "cosine", "area_weight": 0.3},
    "refine.options": {"radius": 4},
}
KEPT = {
    "features.weights": "my.pth",
    "cluster.fit_split": "val",
    "cluster.seed": 5,
    "segments.seed": 6,
    "eigen.seed": 7,
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    return tmp_path


def apply(project: Path, *names: str) -> dict[str, Any]:
    """The sections that recipes set, after these recipes."""
    for name in names:
        list(apply_recipe(STAGES, project, name))
    content = read_params(project)
    return {section: keys for section, keys in content.items() if section != "index"}


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_gives_valid_params_and_keeps_comments(project: Path, name: str) -> None:
    comments = [line for line in (ROOT / "params.yaml").read_text().splitlines() if line.startswith("#")]
    assert comments
    list(apply_recipe(STAGES, project, name))
    text = (project / "params.yaml").read_text()
    assert all(comment in text for comment in comments)
    content = read_params(project)
    for section, stage in STAGES.items():
        parse_section(content, section, stage.params)
    for section in ("model", "segments", "cluster", "refine"):
        methods = importlib.import_module(f"usseg.stages.{section}.methods").METHODS
        methods[content[section]["method"]].Options.model_validate(content[section]["options"])
    projection_options(parse_section(content, "eigen", STAGES["eigen"].params))
    assert list(apply_recipe(STAGES, project, name)) == [f"params.yaml already holds recipe {name}"]


def over(content: dict[str, Any], name: str) -> dict[str, Any]:
    """A content with a recipe's params in it, the index aside."""
    full = RECIPES[name].complete(STAGES)
    return {section: {**keys, **full.get(section, {})} for section, keys in content.items() if section != "index"}


def test_every_recipe_after_every_other_is_that_recipe_alone() -> None:
    content = read_params(ROOT)
    for first, second in itertools.permutations(RECIPES, 2):
        assert over(over(content, first), second) == over(content, second), (first, second)


def test_recipes_one_after_the_other_leave_nothing_in_the_file(project: Path) -> None:
    content = read_params(project)
    for name in (*RECIPES, "camvid", "dsm"):
        assert apply(project, name) == over(content, name)


@pytest.mark.parametrize("name", ["dsm", "camvid", "simsam", "primaps"])
def test_a_recipe_sets_every_param_but_those_of_the_user(tiny_project, name: str) -> None:
    tiny_project.set({**ODD, **KEPT})
    before = read_params(tiny_project.path)
    odd = apply(tiny_project.path, name)
    full = RECIPES[name].complete(STAGES)
    for section in set(odd) - set(USERS_SECTIONS):
        for key, value in odd[section].items():
            assert value == (full[section] if key in full[section] else before[section])[key], f"{section}.{key}"
            assert (key in full[section]) or key in USERS
    for key, value in KEPT.items():
        section, _, field = key.partition(".")
        assert odd[section][field] == RECIPES[name].settings.get(section, {}).get(field, value)


def test_every_param_is_set_or_is_the_users() -> None:
    for recipe in RECIPES.values():
        full = recipe.complete(STAGES)
        for section, stage in STAGES.items():
            if section not in USERS_SECTIONS:
                assert set(full[section]) | set(USERS) >= set(stage.params.model_fields)


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
        **{"features.backbone": "vit_small_patch16_224.dino", "features.facet": "key", "features.resize": None},
        **{"eigen.k": 5, "eigen.color_weight": 0.0, "eigen.affinity": "cos_relu", "segments.num_segments": 15},
        **{"crops.method": "crop", "crops.erode": 2, "crops.dilate": 5, "cluster.k": 20, "cluster.pca": 0},
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
        "model.options": {
            **{"prototypes": 6, "updates": 6, "heads": 6, "hidden": 256, "dropout": 0.1, "lr": 3e-4},
            **{"weight_decay": 0.01, "batch": 1024, "epochs": 400, "zero_diag": True},
        },
    },
    # TokenCut: sections 3 and 4, and the arguments of its code.
    "tokencut": {
        **{"features.backbone": "vit_small_patch16_224.dino", "features.facet": "key", "refine.method": "none"},
        **{"features.resize": None, "features.fit": "pad"},
        "segments.options": {"tau": 0.2, "eps": 1e-5, "binary": True},
    },
    "tokencut-saliency": {
        "features.fit": "resize",
        "refine.method": "bilateral_solver",
        "refine.options": {
            **{
                "xy": 16,
                "luma": 16,
                "chroma": 8,
                "smoothness": 256,
                "confidence": 0.999,
                "iterations": 25,
                "min_iou": 0.5,
            }
        },
    },
    # CutLER: the documented command of MaskCut, and its code.
    "maskcut": {
        **{"features.backbone": "vit_base_patch8_224.dino", "features.resize": [480, 480]},
        **{"segments.options": {"tau": 0.15, "eps": 1e-5, "masks": 3}, "crops.erode": 6, "crops.dilate": 12},
        "refine.options": MASKCUT_CRF,
    },
    # PriMaPs: its README and code.
    "primaps": {
        **{"features.backbone": "vit_small_patch8_224.dino", "features.facet": "token"},
        **{"features.resize": 320, "features.fit": "square", "evaluate.options.protocol": "crop320"},
        **{"evaluate.options.background": "ignored", "refine.options": PRIMAPS_CRF},
        **{
            "segments.options": {"threshold": 0.4, "coverage": 0.95},
            "cluster.k": 27,
            "evaluate.options.surplus": "many_to_one",
        },
    },
    # SimSAM: its supplement and the arguments of its code.
    "simsam": {
        **{"eigen.k": 15, "eigen.affinity": "simsam", "eigen.options": {"weight": 0.1, "epochs": 10, "lr": 0.06}},
        **{"refine.method": "crf", "refine.options": DSM_CRF},
    },
    # This project.
    "camvid": {"cluster.k": 11, "segments.num_segments": 60, "features.stride": 8},
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_has_the_numbers_of_its_source(name: str) -> None:
    full = RECIPES[name].complete(STAGES)
    assert {key: full[key.split(".")[0]][key.split(".")[1]] for key in SOURCES[name]} == SOURCES[name]


def test_unknown_recipe(project: Path) -> None:
    with pytest.raises(ParamsError, match=r"no recipe 'dsn'; did you mean 'dsm'\?"):
        list(apply_recipe(STAGES, project, "dsn"))


def test_root_is_the_users(project: Path) -> None:
    list(apply_recipe(STAGES, project, "camvid", root="my/camvid"))
    content = read_params(project)
    assert content["index"]["root"] == "my/camvid"
    assert content["features"]["weights"] is None
    text = (project / "params.yaml").read_text()
    assert "  weights: null  " in text
    assert "    train: {images: images/train/*.png, labels: labels/train/*.png}" in text


def test_no_pair_is_the_same_recipe() -> None:
    for one, other in itertools.combinations(RECIPES.values(), 2):
        assert one.complete(STAGES) != other.complete(STAGES), f"{one.name} and {other.name}"
