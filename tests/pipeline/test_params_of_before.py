"""params.yaml files of earlier versions still work: moved keys are read at their old place, and a line says so."""

import logging
from pathlib import Path
from typing import Any

import pytest

from usseg.pipeline import project as module
from usseg.pipeline.errors import ParamsError
from usseg.pipeline.project import Project
from usseg.stages import STAGES

INDEX = {"root": "data", "splits": {"train": {"images": "*"}, "val": {"images": "*"}}}


@pytest.fixture(autouse=True)
def said_anew() -> None:
    module.say_once.cache_clear()


def opened(tmp_path: Path, **sections: Any) -> Project:
    return Project.of(STAGES, tmp_path, {"index": INDEX, **sections})


def test_a_key_that_moved_into_the_options(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "usseg"):
        project = opened(tmp_path, segments={"num_segments": 7})
        opened(tmp_path, segments={"num_segments": 7})
    assert project.params["segments"].options.num_segments == 7
    assert caplog.messages == ["params.yaml: segments.num_segments is segments.options.num_segments now"]


def test_a_key_that_the_chosen_method_does_not_read_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "usseg"):
        project = opened(tmp_path, segments={"method": "tokencut", "background": "border", "num_segments": 4})
    assert "num_segments" not in project.params["segments"].model_dump()["options"]
    (line,) = caplog.messages
    assert line == (
        "params.yaml: segments.num_segments: 4 is left out: method: tokencut does not read it; remove that line"
    )


def test_the_same_key_among_the_options_is_refused(tmp_path: Path) -> None:
    line = (
        r"params\.yaml: segments\.options\.num_segments: found 4; method: tokencut does not read it "
        r"\(read by: spectral, kmeans\); remove it"
    )
    with pytest.raises(ParamsError, match=line):
        opened(tmp_path, segments={"method": "tokencut", "options": {"num_segments": 4}})


def test_a_key_at_both_places_is_refused(tmp_path: Path) -> None:
    line = (
        r"params\.yaml: segments\.num_segments: found together with segments\.options\.num_segments, its current name"
    )
    with pytest.raises(ParamsError, match=line):
        opened(tmp_path, segments={"num_segments": 4, "options": {"num_segments": 5}})


def test_the_fit_split_was_a_key_of_cluster(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "usseg"):
        project = opened(tmp_path, cluster={"fit_split": "val"})
    assert project.fit_split == "val"
    assert caplog.messages == ["params.yaml: cluster.fit_split is index.fit_split now"]


def test_a_stage_that_has_another_name_now(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "usseg"):
        project = opened(tmp_path, model={"options": {"epochs": 3}})
    assert project.params["segmenter"].options.epochs == 3
    assert caplog.messages == ["params.yaml: section model is called segmenter now"]


def test_a_backbone_that_was_named_by_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old = {"backbone": "vit_small_patch16_224.dino", "facet": "value", "crops": None}
    with caplog.at_level(logging.WARNING, "usseg"):
        project = opened(tmp_path, features={key: old[key] for key in ("backbone", "facet")})
    features = project.params["features"]
    assert (features.backbone, features.options.name, features.options.facet) == (
        *("vit", "vit_small_patch16_224.dino", "value"),
    )
    assert len(caplog.messages) == 2


OLD = {
    "features": {"backbone": "lowlevel", "stride": 4, "resize": 320, "facet": "key", "weights": None},
    "eigen": {"affinity": "binary", "tau": 0.3, "eps": 1e-4, "laplacian": "normalized", "color_weight": 0.0},
    "crops": {"method": "masked_attention", "erode": 1, "dilate": 3, "spread": False},
    "cluster": {"method": "kmeans", "k": 5, "fit_split": "train", "area_weight": 0.5},
    "evaluate": {"method": "objects", "protocol": "crop320", "pick": "area", "matching": "iou"},
    "segments": {"method": "kmeans", "num_segments": 6, "background": "border"},
}


def test_a_whole_file_of_before(tmp_path: Path) -> None:
    project = opened(tmp_path, **{name: dict(values) for name, values in OLD.items()})
    options = {name: project.params[name].options for name in OLD}
    assert options["features"].stride == 4
    assert (options["eigen"].tau, options["eigen"].eps) == (0.3, 1e-4)
    assert (options["crops"].erode, options["crops"].dilate) == (1, 3)
    assert options["cluster"].area_weight == 0.5
    assert (options["evaluate"].protocol, options["evaluate"].pick) == ("crop320", "area")
    assert options["segments"].num_segments == 6
