"""The record of a run: times from sidecars, versions, and recipes by their params."""

import importlib.metadata
import json
from pathlib import Path

from usseg.pipeline.project import Project
from usseg.results.recipes import apply_recipe
from usseg.results.run_record import matching_recipes, record_or_none, run_record
from usseg.stages import STAGES


def test_times_are_those_of_the_sidecars(finished_project) -> None:
    record = run_record(Project.open(STAGES, finished_project.path))
    named = [(stage["stage"], stage["split"]) for stage in record["stages"]]
    assert named[:3] == [("index", "train"), ("index", "val"), ("features", "train")]
    assert named[-1] == ("report", "all")
    assert "segmenter" not in dict(named)  # no method needs it
    sidecar = json.loads((finished_project.path / "artifacts/cluster/train.run.json").read_text())
    (cluster,) = (stage for stage in record["stages"] if stage["stage"] == "cluster")
    assert cluster == {"stage": "cluster", "split": "train"} | {
        key: sidecar[key] for key in ("seconds", "device", "finished")
    }
    assert record["versions"]["numpy"] == importlib.metadata.version("numpy")
    assert record["recipes"] == []


def test_a_missing_sidecar_is_left_out(finished_project) -> None:
    (finished_project.path / "artifacts/cluster/train.run.json").unlink()
    (finished_project.path / "artifacts/eigen/val.run.json").write_text("{")
    record = record_or_none(finished_project.path)
    named = {(stage["stage"], stage["split"]) for stage in record["stages"]}
    assert ("eigen", "train") in named
    assert not {("cluster", "train"), ("eigen", "val")} & named


def test_a_recipe_is_known_by_its_params(tiny_project) -> None:
    tiny_project.set({"cluster.seed": 7})
    list(apply_recipe(STAGES, tiny_project.path, "dsm"))
    assert matching_recipes(Project.open(STAGES, tiny_project.path)) == ["dsm"]
    tiny_project.set({"eigen.k": 6})
    assert matching_recipes(Project.open(STAGES, tiny_project.path)) == []


def test_params_that_cannot_be_used_have_no_record(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("eigen: {k: no}\n")
    assert record_or_none(tmp_path) is None
