"""Recipes: named sets of params that reproduce one published system, written into params.yaml with comments kept."""

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifact import write_file
from pipeline.errors import ParamsError
from pipeline.params import PARAMS_FILE, nearest, read_params

Check = Callable[[Mapping[str, Any]], object]


@dataclass(frozen=True)
class Recipe:
    """Settings by section; keys that a recipe does not name stay as they are."""

    name: str
    summary: str
    settings: Mapping[str, Mapping[str, Any]]


VITS16 = {"backbone": "vit_small_patch16_224.dino", "facet": "key", "resize": None, "weights": None, "posembed": "auto"}
DSM_EIGEN = {"affinity": "cos_relu", "options": {}, "color_weight": 0.0, "k": 15}
DSM_SEGMENTS = {"method": "spectral", "num_segments": 15, "background": "border", "options": {}}
DSM_CROPS = {"method": "crop", "erode": 2, "dilate": 5}
PRIMAPS_CRF = {
    **{"bilateral_weight": 4.0, "bilateral_xy": 67.0, "bilateral_rgb": 3.0},
    **{"gaussian_weight": 3.0, "gaussian_xy": 1.0, "iterations": 10, "floor": 0.3679},
}
CLUSTERED = {"source": "assign", "foreground": False}  # maps of refine: labels of clusters
OBJECT_MASKS = {"source": "segments", "foreground": True}  # the object itself, and how sure each pixel is
VOC_EVALUATE = {"method": "classes", "matching": "iou", "absent": "zero", "surplus": "strict"}
OBJECT_SCORES = {"method": "objects", "protocol": "native", "pick": "box"}
CAMVID: dict[str, Mapping[str, Any]] = {
    "index": {
        "root": "data/camvid",
        "splits": {
            "train": {"images": "images/train/*.png", "labels": "labels/train/*.png"},
            "val": {"images": "images/val/*.png", "labels": "labels/val/*.png"},
        },
        "classes": [
            *("sky", "building", "pole", "road", "pavement", "tree"),
            *("sign", "fence", "car", "pedestrian", "bicyclist"),
        ],
        "label_values": [],
        "ignore": [11],
    },
    "features": {"backbone": "lowlevel", "resize": 480, "weights": None, "stride": 8},
    "eigen": {"affinity": "cos_relu", "options": {}, "color_weight": 0.0, "k": 15},
    # Many small segments: CamVid's poles, signs and people are a few patches each.
    "segments": {"method": "spectral", "num_segments": 60, "background": "none", "min_tokens": 0, "options": {}},
    "crops": {"method": "masked_attention", "erode": 0, "dilate": 0},
    "cluster": {
        **{"method": "kmeans", "k": 11, "fit_split": "train", "norm_std": True, "pca": 0, "whiten": False},
        # By channels of `lowlevel`, tuned on train: colour of the patch itself, texture of its surroundings and position
        # count double; the patch's own edges and the widest spread do not.
        "channel_weights": [2] * 3 + [1] * 18 + [0] * 3 + [0] * 9 + [2] * 9 + [2] * 4,
        **{"area_weight": 0.5, "options": {"metric": "cosine", "n_init": 20}},
    },
    "assign": {"background_collision": False},
    "refine": {**CLUSTERED, "method": "crf", "upsampling": "align", "options": {}},
    "evaluate": {"method": "classes", "matching": "count", "absent": "drop", "surplus": "strict"},
}


def on_dsm(**settings: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """DSM's chain with some settings replaced."""
    chain: dict[str, Mapping[str, Any]] = {
        "features": VITS16,
        "eigen": DSM_EIGEN,
        "segments": DSM_SEGMENTS,
        "crops": DSM_CROPS,
        "cluster": {"method": "kmeans", "k": 20, "norm_std": False, "options": {}},
        "assign": {"background_collision": False},
        "refine": {**CLUSTERED, "method": "none", "options": {}},
        "evaluate": VOC_EVALUATE,
    }
    return {**settings, **{section: {**keys, **settings.get(section, {})} for section, keys in chain.items()}}


def objects(method: str, **options: Any) -> dict[str, Any]:
    """Segments by a method that finds objects: what it leaves is background."""
    return {**DSM_SEGMENTS, "method": method, "options": options}


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("dsm", "Deep Spectral Methods: crops of 15 segments an image, k-means over the dataset", on_dsm()),
        Recipe(
            "otc",
            "DSM's segments clustered by optimal transport (semester report, section 3.2)",
            on_dsm(
                cluster={"method": "ot", "k": 20, "norm_std": False, "options": {"epsilon": 0.02, "iterations": 200}}
            ),
        ),
        Recipe(
            "abc",
            "DSM's segments clustered by attention-based clustering (semester report, section 3.2)",
            on_dsm(cluster={"method": "abc", "k": 20, "norm_std": False, "options": {"epochs": 500}}),
        ),
        Recipe(
            "dsm-masked",
            "DSM with the last attention layer masked to the segment (semester report, section 3.1)",
            on_dsm(crops={**DSM_CROPS, "method": "masked_attention"}),
        ),
        Recipe(
            "tokencut",
            "TokenCut: one object an image, smoothed by the bilateral solver, scored as a mask or by its box",
            on_dsm(
                segments=objects("tokencut", tau=0.2),
                refine={**OBJECT_MASKS, "method": "bilateral_solver", "options": {}},
                evaluate=OBJECT_SCORES,
            ),
        ),
        Recipe(
            "maskcut",
            "MaskCut of CutLER: up to three objects an image of 480 x 480, aligned by a CRF; clustered as in DSM",
            on_dsm(
                features={**VITS16, "backbone": "vit_base_patch8_224.dino", "resize": [480, 480]},
                segments=objects("maskcut", tau=0.15, masks=3),
                refine={"method": "crf", "options": {"floor": 0.3679}},
            ),
        ),
        Recipe(
            "primaps",
            "Mask proposals of PriMaPs, aligned by its CRF; clustered as in DSM, not by EM",
            on_dsm(
                features={**VITS16, "facet": "token"},
                segments=objects("primaps", threshold=0.4),
                refine={"method": "crf", "options": PRIMAPS_CRF},
                evaluate={"matching": "count", "absent": "drop", "surplus": "many_to_one"},
            ),
        ),
        Recipe(
            "acg",
            "ACSeg's adaptive concepts, trained on images of 256 x 256; concepts clustered as in DSM (semester report)",
            on_dsm(
                features={**VITS16, "resize": [256, 256]},
                model={"method": "acg", "options": {"prototypes": 6, "epochs": 400}},
                segments={**DSM_SEGMENTS, "method": "acg"},
            ),
        ),
        Recipe(
            "simsam",
            "SimSAM: one object an image by the Fiedler cut of a graph with trained projections, scored as a mask",
            on_dsm(
                eigen={**DSM_EIGEN, "affinity": "simsam", "options": {"weight": 0.1}},
                segments={**DSM_SEGMENTS, "method": "fiedler"},
                refine={"source": "segments"},
                evaluate=OBJECT_SCORES,
            ),
        ),
        Recipe("camvid", "CamVid's 11 street classes on the embedded descriptor, nothing to download", CAMVID),
    )
}


def laid_out(value: Any) -> Any:
    """Lists and mappings of scalars as YAML on one line."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    if not isinstance(value, list | Mapping):
        return value
    items = value if isinstance(value, list) else list(value.values())
    seq_or_map: Any = (
        CommentedSeq(map(laid_out, value))
        if isinstance(value, list)
        else CommentedMap({key: laid_out(item) for key, item in value.items()})
    )
    if not any(isinstance(item, list | Mapping) for item in items):
        seq_or_map.fa.set_flow_style()
    return seq_or_map


def apply_recipe(project: Path, name: str, *, root: str | None = None, check: Check | None = None) -> Iterator[str]:
    """Write a recipe into params.yaml, and where the images are if `root` is given; yields a line per changed key.

    Raises:
        ParamsError: no such recipe, or no usable params.yaml.
    """
    if name not in RECIPES:
        raise ParamsError(f"no recipe {name!r}{nearest(name, RECIPES)} (known: {', '.join(RECIPES)})")
    recipe = {section: dict(settings) for section, settings in RECIPES[name].settings.items()}
    if root is not None:
        recipe.setdefault("index", {})["root"] = root
    yield from write_settings(project, recipe, check=check) or [f"params.yaml already holds recipe {name}"]


def write_settings(
    project: Path, settings: Mapping[str, Mapping[str, Any]], *, check: Check | None = None
) -> list[str]:
    """Write settings by section into params.yaml, comments and other keys kept; returns a line per changed key.

    Raises:
        ParamsError: no usable params.yaml, or what `check` refuses of the new content; nothing is written.
    """
    from ruamel.yaml import YAML

    read_params(project)
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 120
    yaml.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    path = project / PARAMS_FILE
    content = yaml.load(path.read_text(encoding="utf-8"))
    changes = []
    for section, keys in settings.items():
        for key, value in keys.items():
            before = content.setdefault(section, {}).get(key)
            if before != value:
                content[section][key] = laid_out(value)
                changes.append(f"{section}.{key}: {before!r} -> {value!r}")
    text = io.StringIO()
    yaml.dump(content, text)
    if check:
        check(YAML(typ="safe").load(text.getvalue()))
    write_file(path, text.getvalue().encode())
    return changes
