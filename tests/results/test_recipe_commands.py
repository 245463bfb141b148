"""A recipe that is asked for by its name: an unknown one, and one that brings a dataset."""

from pathlib import Path

import pytest

from usseg.pipeline.errors import ParamsError
from usseg.pipeline.params import read_params
from usseg.results.recipes import apply_recipe
from usseg.stages import STAGES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    return tmp_path


def test_unknown_recipe(project: Path) -> None:
    with pytest.raises(ParamsError, match=r"no recipe 'dsn'; did you mean 'dsm'\?"):
        list(apply_recipe(STAGES, project, "dsn"))


def test_root_is_the_users(project: Path) -> None:
    list(apply_recipe(STAGES, project, "camvid", root="my/camvid"))
    assert read_params(project)["index"]["root"] == "my/camvid"
    text = (project / "params.yaml").read_text()
    assert "    train: {images: images/train/*.png, labels: labels/train/*.png}" in text
