"""Settings are written into params.yaml; options stay where the method stays."""

import json
from pathlib import Path

import pytest

from usseg.pipeline.params import read_params
from usseg.results.params_file import write_settings

INDEX = {"root": ".", "splits": {"train": {"images": "*"}}}


@pytest.mark.parametrize(("method", "kept"), [("classes", True), ("objects", False)])
def test_settings_keep_the_options_of_a_method_that_was_the_default_already(
    tmp_path: Path, method: str, kept: bool
) -> None:
    content = {"index": {**INDEX, "classes": ["a"]}, "evaluate": {"options": {"matching": "iou"}}}
    (tmp_path / "params.yaml").write_text(json.dumps(content))
    lines = write_settings(tmp_path, {"evaluate": {"method": method}})
    assert (read_params(tmp_path)["evaluate"].get("options") == {"matching": "iou"}) == kept
    assert any(line.startswith("evaluate.options: ") for line in lines) != kept


def test_settings_drop_the_options_of_another_backbone(tmp_path: Path) -> None:
    content = {"index": INDEX, "features": {"options": {"stride": 8}}}
    (tmp_path / "params.yaml").write_text(json.dumps(content))
    write_settings(tmp_path, {"features": {"backbone": "vit"}})
    assert read_params(tmp_path)["features"] == {"backbone": "vit"}
