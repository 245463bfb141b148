"""A project of a user, with `usseg run` and `dvc repro`: both make the same, and made anew with other methods."""

import json
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from usseg.results.metrics import read_metrics

Command = Callable[..., subprocess.CompletedProcess[str]]
Edit = Callable[[Path, dict[str, Any]], None]
Entries = Callable[..., set[str]]
Repro = Callable[..., set[str]]
ROOT = Path(__file__).resolve().parents[2]
CLEAN = "Data and pipelines are up to date.\n"


def test_everything_is_made(demo: Path, command: Command, entries: Entries) -> None:
    for stage in entries() - {"plan", "cluster", "report", "segmenter"}:
        name, split = stage.split("@")
        assert (demo / f"artifacts/{name}/{split}.zarr/zarr.json").exists()
    assert (demo / "artifacts/cluster/train.zarr/zarr.json").exists()
    assert not list(demo.glob("artifacts/*/.*.partial"))
    for split in ("train", "val"):
        metrics = read_metrics(demo, split)
        assert {"miou", "accuracy", "per_class", "per_class_accuracy", "conventions"} <= set(metrics)
        assert 0 < metrics["miou"] <= metrics["accuracy"] <= 1
        assert metrics["num_images"] == 3
        assert (demo / f"plots/{split}/details.png").read_bytes().startswith(b"\x89PNG")
        assert len((demo / f"plots/{split}/scores.csv").read_text().splitlines()) == 7
    page = (demo / "report/index.html").read_text()
    assert page.lstrip().startswith("<!doctype html>")
    for split in ("train", "val"):
        assert len(list((demo / f"report/page/photos/{split}").iterdir())) == 3
    shown = json.loads(command(demo, "dvc", "metrics", "show", "--json").stdout)
    scores = shown[""]["data"]["metrics/val.json"]["data"]
    assert scores == json.loads((demo / "metrics/val.json").read_text())
    assert set(scores) == {"miou", "accuracy"}


def test_repro_makes_what_run_makes(
    demo: Path, demo_copy: Path, command: Command, repro: Repro, entries: Entries, artifact_files
) -> None:
    assert command(demo_copy, "dvc", "status").stdout == CLEAN
    for name in ("artifacts", "metrics", "plots", "report", ".dvc/cache", ".dvc/tmp"):
        shutil.rmtree(demo_copy / name)
    (demo_copy / "dvc.lock").unlink()
    assert repro(demo_copy) == entries()
    assert artifact_files(demo_copy) == artifact_files(demo)
    assert (demo_copy / "dvc.lock").read_bytes() == (demo / "dvc.lock").read_bytes()
    assert command(demo_copy, "dvc", "status").stdout == CLEAN


def test_nothing_runs_again_after_run_nor_after_a_comment(demo: Path, demo_copy: Path, repro: Repro) -> None:
    assert repro(demo_copy) == set()
    assert (demo_copy / "dvc.lock").read_bytes() == (demo / "dvc.lock").read_bytes()
    text = (demo_copy / "params.yaml").read_text()
    (demo_copy / "params.yaml").write_text(f"# a comment\n{text}\n# another\n")
    assert repro(demo_copy) == {"plan"}
    assert repro(demo_copy) == set()


def test_metrics_and_params_are_compared_with_a_commit(
    demo: Path, demo_copy: Path, command: Command, edit: Edit
) -> None:
    command(demo_copy, "git", "add", "--all")
    command(demo_copy, "git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first")
    edit(demo_copy, {"evaluate.options.matching": "iou"})
    command(demo_copy, "usseg", "run", "--workers", "1")
    params = json.loads(command(demo_copy, "dvc", "params", "diff", "--json").stdout)
    assert params == {"params.yaml": {"evaluate.options.matching": {"old": "count", "new": "iou"}}}
    metrics = json.loads(command(demo_copy, "dvc", "metrics", "diff", "--all", "--json").stdout)
    for split in ("train", "val"):
        found = metrics[f"metrics/{split}.json"]
        assert set(found) == {"miou", "accuracy"}
        assert found["miou"]["old"] == json.loads((demo / f"metrics/{split}.json").read_text())["miou"]
    plots = command(demo_copy, "dvc", "plots", "diff", "--show-vega", "--targets", "plots/val/scores.csv").stdout
    assert {row["rev"] for row in json.loads(plots)["data"]["values"]} == {"HEAD", "workspace"}
    command(demo_copy, "git", "add", "--all")
    command(demo_copy, "git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "second")
    guide = (ROOT / "docs/how-to/experiments.md").read_text()
    line = shlex.split(next(line for line in guide.splitlines() if line.strip().startswith("dvc exp show --md")))
    shown = command(demo_copy, *line).stdout.strip().splitlines()
    assert [title.strip() for title in shown[0].strip("|").split("|")] == [
        *("Experiment", "metrics/val.json:miou", "metrics/val.json:accuracy", "cluster.method")
    ]
    assert len(shown) == 2 + 2  # the working tree and the last commit
    assert max(map(len, shown)) <= 120
    for text in (shown, command(demo_copy, "dvc", "metrics", "show").stdout.splitlines()):
        assert max(map(len, text)) <= 120


def test_between_methods_that_read_eigenvectors_they_stay(demo_copy: Path, edit: Edit, command: Command) -> None:
    def eigen_after(method: str) -> tuple[str, set[str]]:
        edit(demo_copy, {"segments.method": method})
        done = command(demo_copy, "dvc", "repro", "eigen@val")
        arrays = {path.name for path in (demo_copy / "artifacts/eigen/val.zarr").iterdir()}
        return done.stdout + done.stderr, arrays

    before = {path.name for path in (demo_copy / "artifacts/eigen/val.zarr").iterdir()}
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
    demo: Path, demo_copy: Path, edit: Edit, repro: Repro, reruns: Repro, entries: Entries, command: Command
) -> None:
    objects = {
        **{"segments.method": "tokencut", "segments.background": "border", "evaluate.method": "objects"},
        **{"refine.source": "segments", "refine.method": "guided_filter", "refine.foreground": True},
    }
    edit(demo_copy, objects)
    assert reruns(demo_copy) == entries() - entries("index", "features", "segmenter")
    command(demo_copy, "usseg", "run", "--workers", "1")
    arrays = {path: {item.name for item in path.iterdir()} for path in demo_copy.glob("artifacts/*/*.zarr")}
    empty = {path.parent.name for path, names in arrays.items() if names == {"zarr.json"}}
    assert empty == {"eigen", "segmenter", "crops", "cluster", "assign", "report"}
    for split in ("train", "val"):
        metrics = read_metrics(demo_copy, split)
        assert metrics["convention"] == {"method": "objects", "protocol": "native", "soft": True}
        assert 0 <= metrics["iou"] <= metrics["accuracy"] <= 1
        assert (demo_copy / f"plots/{split}/details.png").read_bytes().startswith(b"\x89PNG")
    page = (demo_copy / "report/index.html").read_text()
    assert "maxF" in page
    assert "Clusters" not in page
    shown = command(demo_copy, "usseg", "scores").stdout
    assert all(name in shown for name in ("iou", "max_f", "accuracy"))
    edit(demo_copy, {"refine.method": "none"})
    assert repro(demo_copy) == {"plan", *entries("refine", "evaluate", "report")}
    shutil.copy(demo / "params.yaml", demo_copy)
    assert repro(demo_copy) == set()  # all of it comes from the cache of DVC
    assert (demo_copy / "dvc.lock").read_bytes() == (demo / "dvc.lock").read_bytes()


def test_a_segmenter_is_trained_where_a_method_asks_for_it(demo_copy: Path, edit: Edit, command: Command) -> None:
    curve = demo_copy / "plots/segmenter/loss.csv"
    edit(demo_copy, {"segments.method": "acg"})
    command(demo_copy, "dvc", "repro", "segmenter")
    trained = curve.read_text()
    assert trained.startswith("epoch,loss,concepts\n")
    assert len(trained.splitlines()) == 1 + 2
    shown = command(demo_copy, "dvc", "plots", "show", "--show-vega", "plots/segmenter/loss.csv").stdout
    assert [row["epoch"] for row in json.loads(shown)["data"]["values"]] == ["1", "2"]
    arrays = {path.name for path in (demo_copy / "artifacts/segmenter/train.zarr").iterdir()}
    edit(demo_copy, {"segments.method": "spectral"})
    command(demo_copy, "dvc", "repro", "segmenter")
    assert [path.name for path in (demo_copy / "artifacts/segmenter/train.zarr").iterdir()] == ["zarr.json"]
    edit(demo_copy, {"segments.method": "acg"})
    assert "Stage 'segmenter' is cached" in command(demo_copy, "dvc", "repro", "segmenter").stdout
    assert {path.name for path in (demo_copy / "artifacts/segmenter/train.zarr").iterdir()} == arrays
    assert curve.read_text() == trained
