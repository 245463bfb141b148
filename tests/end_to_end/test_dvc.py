"""`dvc repro` on the demo: everything is made once, compared with a commit, and made anew with other methods."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_everything_is_made(demo: Path, command: Command, entries: Callable[..., set[str]]) -> None:
    for stage in entries() - {"cluster", "report", "needed", "model"}:
        name, split = stage.split("@")
        assert (demo / f"artifacts/{name}/{split}.zarr/zarr.json").exists()
    assert (demo / "artifacts/cluster/train.zarr/zarr.json").exists()
    assert not list(demo.glob("artifacts/*/.*.partial"))
    for split in ("train", "val"):
        metrics = json.loads((demo / f"metrics/{split}.json").read_text())
        assert {"miou", "accuracy", "per_class", "per_class_accuracy", "conventions"} <= set(metrics)
        assert 0 < metrics["miou"] <= metrics["accuracy"] <= 1
        assert metrics["num_images"] == 3
        assert (demo / f"plots/{split}/details.png").read_bytes().startswith(b"\x89PNG")
        assert len((demo / f"plots/{split}/scores.csv").read_text().splitlines()) == 7
    page = (demo / "report/index.html").read_text()
    assert page.lstrip().startswith("<!doctype html>")
    assert page.count("data:image/") > 6 * 4
    shown = json.loads(command(demo, "dvc", "metrics", "show", "--json").stdout)
    scores = shown[""]["data"]["metrics/val.json"]["data"]
    assert scores == json.loads((demo / "metrics/val.json").read_text())


def test_a_second_repro_and_one_after_a_comment_run_nothing(
    demo: Path, tmp_path: Path, repro: Callable[[Path], set[str]]
) -> None:
    project = tmp_path / "usseg"
    shutil.copytree(demo, project, symlinks=True)
    lock = (project / "dvc.lock").read_bytes()
    assert repro(project) == set()
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(f"# a comment\n{text.replace('eigen:', 'eigen:  # another', 1)}\n")
    assert (project / "params.yaml").read_text() != text
    assert repro(project) == set()
    assert (project / "dvc.lock").read_bytes() == lock


def test_metrics_and_params_are_compared_with_a_commit(
    demo: Path,
    tmp_path: Path,
    command: Command,
    repro: Callable[[Path], set[str]],
    edit: Callable[[Path, dict[str, Any]], None],
) -> None:
    project = tmp_path / "usseg"
    shutil.copytree(demo, project, symlinks=True)
    command(project, "git", "add", "--all")
    command(project, "git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first")
    edit(project, {"evaluate.matching": "iou"})
    repro(project)
    params = json.loads(command(project, "dvc", "params", "diff", "--json").stdout)
    assert params == {"params.yaml": {"evaluate.matching": {"old": "count", "new": "iou"}}}
    metrics = json.loads(command(project, "dvc", "metrics", "diff", "--all", "--json").stdout)
    for split in ("train", "val"):
        found = metrics[f"metrics/{split}.json"]
        assert (found["convention.matching"]["old"], found["convention.matching"]["new"]) == ("count", "iou")
        assert found["miou"]["old"] == json.loads((demo / f"metrics/{split}.json").read_text())["miou"]
    plots = command(project, "dvc", "plots", "diff", "--show-vega", "--targets", "plots/val/scores.csv").stdout
    assert {row["rev"] for row in json.loads(plots)["data"]["values"]} == {"HEAD", "workspace"}


def test_between_methods_that_read_eigenvectors_they_stay(
    demo: Path, tmp_path: Path, edit: Callable[[Path, dict[str, Any]], None], command: Command
) -> None:
    project = tmp_path / "usseg"
    shutil.copytree(demo, project, symlinks=True)

    def eigen_after(method: str) -> tuple[str, set[str]]:
        edit(project, {"segments.method": method})
        done = command(project, "dvc", "repro", "segments@val")
        arrays = {path.name for path in (project / "artifacts/eigen/val.zarr").iterdir()}
        return done.stdout + done.stderr, arrays

    before = {path.name for path in (project / "artifacts/eigen/val.zarr").iterdir()}
    text, arrays = eigen_after("fiedler")
    assert "Stage 'eigen@val' didn't change" in text
    assert arrays == before
    text, arrays = eigen_after("kmeans")
    assert "eigen@val: no chosen method reads it, left empty" in text
    assert arrays == {"zarr.json"}
    text, arrays = eigen_after("spectral")
    assert "Stage 'eigen@val' is cached" in text
    assert arrays == before


def test_objects_need_neither_eigenvectors_nor_clusters(
    demo: Path,
    tmp_path: Path,
    edit: Callable[[Path, dict[str, Any]], None],
    repro: Callable[[Path], set[str]],
    entries: Callable[..., set[str]],
    command: Command,
) -> None:
    project = tmp_path / "usseg"
    shutil.copytree(demo, project, symlinks=True)
    objects = {
        **{"segments.method": "tokencut", "segments.background": "border", "evaluate.method": "objects"},
        **{"refine.source": "segments", "refine.method": "guided_filter", "refine.foreground": True},
    }
    edit(project, objects)
    assert repro(project) == entries() - entries("index", "features", "model")
    arrays = {path: {item.name for item in path.iterdir()} for path in project.glob("artifacts/*/*.zarr")}
    empty = {path.parent.name for path, names in arrays.items() if names == {"zarr.json"}}
    assert empty == {"eigen", "model", "crops", "cluster", "assign", "report"}
    for split in ("train", "val"):
        metrics = json.loads((project / f"metrics/{split}.json").read_text())
        assert metrics["convention"] == {"method": "objects", "protocol": "native", "soft": True}
        assert 0 <= metrics["iou"] <= metrics["accuracy"] <= 1
        assert (project / f"plots/{split}/details.png").read_bytes().startswith(b"\x89PNG")
    page = (project / "report/index.html").read_text()
    assert "maxF" in page
    assert "Clusters" not in page
    shown = command(project, "usseg", "scores").stdout
    assert all(name in shown for name in ("iou", "max_f", "accuracy"))
    edit(project, {"refine.method": "none"})
    assert repro(project) == entries("refine", "evaluate", "report")
    shutil.copy(demo / "params.yaml", project)
    assert repro(project) == set()
    assert (project / "dvc.lock").read_bytes() == (demo / "dvc.lock").read_bytes()


def test_a_model_is_trained_where_a_method_asks_for_it(
    demo: Path, tmp_path: Path, edit: Callable[[Path, dict[str, Any]], None], command: Command
) -> None:
    project = tmp_path / "usseg"
    shutil.copytree(demo, project, symlinks=True)
    curve = project / "plots/model/loss.csv"
    assert curve.read_text() == "epoch,loss,concepts\n"
    edit(project, {"segments.method": "acg"})
    done = command(project, "dvc", "repro", "segments@val")
    assert "eigen@val: no chosen method reads it, left empty" in done.stdout + done.stderr
    trained = curve.read_text()
    assert len(trained.splitlines()) == 1 + 2
    shown = command(project, "dvc", "plots", "show", "--show-vega", "plots/model/loss.csv").stdout
    assert [row["epoch"] for row in json.loads(shown)["data"]["values"]] == ["1", "2"]
    edit(project, {"segments.method": "spectral"})
    command(project, "dvc", "repro", "segments@val")
    assert curve.read_text() == "epoch,loss,concepts\n"
    edit(project, {"segments.method": "acg"})
    assert "Stage 'model' is cached" in command(project, "dvc", "repro", "segments@val").stdout
    assert curve.read_text() == trained
