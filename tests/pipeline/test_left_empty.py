"""An artifact that no chosen method reads is left empty. It is computed when a method reads it."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from usseg.pipeline import runner
from usseg.pipeline.artifact import ArraySpec, open_artifact
from usseg.pipeline.errors import ArtifactError
from usseg.pipeline.params import Params
from usseg.pipeline.project import Project
from usseg.pipeline.stage import Input, Stage

COUNT = 3
calls: list[int] = []


class IndexParams(Params):
    root: str
    splits: dict[str, str]
    classes: list[str]
    ignore: list[int]


class PowerParams(Params):
    power: int


class ResultParams(Params):
    takes: str = "power"


def run_index(params, inputs, images, execution):
    return {"id": [f"image-{i}" for i in range(COUNT)], "size": np.full((COUNT, 2), 7, np.int32)}


def run_power(params, inputs, images, execution):
    calls.append(images.start)
    return {"power": np.asarray(images, np.float32) ** params.power}


def run_nothing(params, inputs, images, execution):
    return {"number": np.zeros(len(inputs.artifacts), np.float32)}


INDEX = Stage(
    "index", "list", 1, IndexParams, (),
    {"id": ArraySpec(("image",), "str", "id"), "size": ArraySpec(("image", "side"), "int32", "px")}, run_index,
)  # fmt: skip
POWER = Stage(
    "power", "powers", 1, PowerParams, (Input("index"),), {"power": ArraySpec(("image",), "float32", "powers")}, run_power,
    sizes=lambda params, inputs: {},
)  # fmt: skip
NUMBER = {"number": ArraySpec(("input",), "float32", "")}
RESULT = Stage(
    "result", "result", 1, ResultParams,
    (Input("index"), Input("power", when="asked")), NUMBER, run_nothing,
    reads=lambda sections: ("power",) if sections["result"].takes == "power" else (),
)  # fmt: skip
PAGE = Stage(
    "page", "page", 1, Params, (Input("index"), Input("power", when="present"), Input("result")), NUMBER, run_nothing,
)  # fmt: skip
CHOICE = {"index": INDEX, "power": POWER, "result": RESULT, "page": PAGE}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    calls.clear()
    return tmp_path


def tree(path: Path) -> dict[str, bytes]:
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


def choose(project: Path, name: str, takes: str) -> Path:
    (project / "params.yaml").write_text(
        "index: {root: '.', splits: {val: a}, classes: [], ignore: []}\n"
        f"power: {{power: 2}}\nresult: {{takes: {takes}}}\npage: {{}}\n"
    )
    return runner.run_stage(Project.open(CHOICE, project), name, "val")


def test_what_no_chosen_method_reads_is_left_empty(project: Path) -> None:
    choose(project, "index", "power")
    target = choose(project, "power", "nothing")
    empty = tree(target)
    assert calls == []
    assert open_artifact(target).attrs["empty"]
    assert tree(choose(project, "power", "nothing")) == empty
    assert open_artifact(choose(project, "result", "nothing"))["number"].shape == (1,)
    assert open_artifact(choose(project, "page", "nothing"))["number"].shape == (2,)
    with pytest.raises(
        ArtifactError, match=r"left empty because no chosen method read it; run: usseg stage power --split val"
    ):
        choose(project, "result", "power")
    choose(project, "power", "power")
    assert calls
    assert open_artifact(choose(project, "result", "power"))["number"].shape == (2,)
    assert open_artifact(choose(project, "page", "power"))["number"].shape == (3,)


def test_what_comes_back_from_a_cache_in_place_of_an_empty_artifact_is_current(project: Path) -> None:
    choose(project, "index", "power")
    target = choose(project, "power", "power")
    shutil.copytree(target, project / "cache")
    choose(project, "power", "nothing")
    shutil.rmtree(target)
    shutil.copytree(project / "cache", target)
    calls.clear()
    choose(project, "power", "power")
    assert calls == []
