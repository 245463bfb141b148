import importlib
from pathlib import Path

import pytest

from pipeline.errors import ParamsError
from pipeline.params import parse_section, read_params
from pipeline.recipes import RECIPES, apply_recipe
from stages import STAGES
from stages.eigen.stage import projection_options

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_gives_valid_params_and_keeps_comments(tmp_path: Path, name: str) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    comments = [line for line in (ROOT / "params.yaml").read_text().splitlines() if line.startswith("#")]
    assert comments
    list(apply_recipe(tmp_path, name))
    text = (tmp_path / "params.yaml").read_text()
    assert all(comment in text for comment in comments)
    content = read_params(tmp_path)
    for section, stage in STAGES.items():
        parse_section(content, section, stage.params)
    for section in ("model", "segments", "cluster", "refine"):
        methods = importlib.import_module(f"stages.{section}.methods").METHODS
        methods[content[section]["method"]].Options.model_validate(content[section]["options"])
    projection_options(parse_section(content, "eigen", STAGES["eigen"].params))
    assert list(apply_recipe(tmp_path, name)) == [f"params.yaml already holds recipe {name}"]


def test_unknown_recipe(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"no recipe 'dsn'; did you mean 'dsm'\?"):
        list(apply_recipe(tmp_path, "dsn"))


def test_root_is_the_users(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    list(apply_recipe(tmp_path, "camvid", root="my/camvid"))
    content = read_params(tmp_path)
    assert content["index"]["root"] == "my/camvid"
    assert content["features"]["weights"] is None
    text = (tmp_path / "params.yaml").read_text()
    assert "  weights: null  " in text
    assert "    train: {images: images/train/*.png, labels: labels/train/*.png}" in text
