"""The table of backbones: one file adds a backbone, and sections of earlier versions still work."""

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from usseg.pipeline import params
from usseg.stages.crops.methods import METHODS as CROPS
from usseg.stages.features.methods import METHODS as FEATURES
from usseg.stages.features.stage import STAGE, former

BACKBONE = """
from dataclasses import dataclass

import numpy as np

from usseg.pipeline.params import Params
from usseg.stages.features.method import Backbone, BackboneMethod


class Options(Params):
    side: int = 8


@dataclass(frozen=True)
class Colors(Backbone):
    patch: int
    channels: int = 3
    crop_channels: int = 4

    def describe(self, images, grid, dtype):
        (h, w), side = grid, self.patch
        cut = np.stack([image[: h * side, : w * side] for image in images]).astype(float)
        tokens = cut.reshape(len(images), h, side, w, side, 3).mean(axis=(2, 4)).reshape(len(images), h * w, 3)
        return {"patches": tokens, "cls": tokens.mean(axis=1)}

    def embed_crops(self, image, grid, boxes, masks):
        out = np.zeros((len(boxes), 4), np.float32)
        for s, (x0, y0, x1, y1) in enumerate((boxes * self.patch).tolist()):
            out[s] = [*image[y0:y1, x0:x1].mean(axis=(0, 1)), 1 + (masks is not None)]
        return out


def load(options, project, device):
    return Colors(options.side)


METHOD = BackboneMethod(summary="Mean colours.", call=load, options=Options)
"""
CROP = """
import numpy as np

from usseg.stages.crops.method import CropsMethod

METHOD = CropsMethod(
    summary="The corners of the box, and the number of tokens.",
    call=lambda segments, options: np.array(
        [[*box, (segments.labels == s + 1).sum()] for s, box in enumerate(segments.boxes)], np.float32
    ),
    channels=lambda options, inputs: 5,
    backbone=False,
)
"""


@pytest.fixture
def project(tiny_project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The tiny project beside a package with a backbone and a method of crops, as pip would install it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for table, module, text in ((FEATURES, "their_colors", BACKBONE), (CROPS, "their_corners", CROP)):
        (tmp_path / f"{module}.py").write_text(text)
        name = module.removeprefix("their_")
        point = EntryPoint(name, f"{module}:METHOD", f"usseg.{table.stage}")
        monkeypatch.setitem(vars(table), "installed", {name: point})
    yield tiny_project
    for name in ("colors", "corners"):
        FEATURES.loaded.pop(name, None)
        CROPS.loaded.pop(name, None)
        sys.modules.pop(f"their_{name}", None)


def test_a_backbone_is_one_file(project) -> None:
    project.set({"features.backbone": "colors", "crops.method": "crop", "segments.method": "kmeans"})
    project.run_all("index", "features", "segments", "crops")
    patches = project.artifact("features")["patches"][0].reshape(6, 8, 3)
    assert np.abs(patches[:, :4] - [200, 120, 40]).max() < 15
    assert np.abs(patches[:, 4:] - [40, 90, 160]).max() < 15
    crops = project.artifact("crops")["features"][:]
    assert crops.shape[2] == 4
    assert set(np.unique(crops[:, :, 3])) <= {0, 1}
    project.set({"crops.method": "masked_attention", "features.options.side": 16})
    project.run_all("features", "segments", "crops")
    assert project.artifact("features")["grid"][0].tolist() == [3, 4]
    assert project.artifact("crops")["features"][:, :, 3].max() == 2


def test_a_method_of_crops_is_one_file(project) -> None:
    project.set({"crops.method": "corners", "crops.options": {"erode": 0, "dilate": 0}})
    project.run_all("index", "features", "eigen", "segments", "crops")
    crops, segments = project.artifact("crops"), project.artifact("segments")
    for row, count in enumerate(crops["num_segments"]):
        areas = np.bincount(segments["segments"][row] + 1)[2:]
        np.testing.assert_array_equal(crops["features"][row, :count, 4], areas)
        np.testing.assert_array_equal(crops["features"][row, :count, :4] * 8, crops["boxes"][row, :count])


@pytest.fixture(autouse=True)
def said_anew() -> None:
    params.say_once.cache_clear()


def test_the_name_of_a_transformer_was_the_backbone(caplog: pytest.LogCaptureFixture) -> None:
    old = {"backbone": "vit_small_patch16_224.dino", "facet": "value", "options": {"attention": True}}
    found = former(dict(old))
    assert found == {
        "backbone": "vit",
        "facet": "value",
        "options": {"attention": True, "name": "vit_small_patch16_224.dino"},
    }
    former(old)
    assert caplog.messages == [
        "params.yaml: features.backbone: vit_small_patch16_224.dino is backbone: vit with options.name: "
        "vit_small_patch16_224.dino now"
    ]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"backbone": "lowlevel"},
        {"backbone": "vit", "options": {"name": "vit_small_patch16_224.dino"}},
        {"backbone": "checkpoint", "weights": "w.pth"},
        {"backbone": "lowlevl"},
        {"backbone": 3},
        {"backbone": "vit_small_patch16_224.dino", "options": "all"},
    ],
)
def test_other_sections_stay_as_they_are(values: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    assert former(dict(values)) == values
    assert not caplog.messages


def test_every_transformer_of_timm_is_known_by_its_name() -> None:
    import timm

    names = timm.list_models(module="vision_transformer")
    assert len(names) > 50
    assert all("_" in name for name in names)


def test_every_key_that_moved_is_an_option_of_a_backbone() -> None:
    options = {key for name in FEATURES.own for key in FEATURES[name].options.model_fields}
    assert {place.removeprefix("options.") for place in STAGE.moved.values()} <= options
    assert options - {"name"} == {place.removeprefix("options.") for place in STAGE.moved.values()}
