"""`dvc repro` on the demo: everything is made once, and an edit re-runs exactly what it changes."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from usseg.pipeline.format import FORMAT

ROOT = Path(__file__).resolve().parents[2]
PER_SPLIT = ("index", "features", "eigen", "segments", "crops", "assign", "refine", "evaluate")
ALL = {
    *(f"{stage}@{split}" for stage, split in product(PER_SPLIT, ("train", "val"))),
    "cluster",
    "report",
    "needed",
    "model",
}
# What the table below counts on; the defaults may change.
PINNED = {
    "features.backbone": "lowlevel",
    "model.options": {"epochs": 2, "updates": 1},
    "segments.min_tokens": 0,
    "segments.background": "none",
    "crops.method": "mean",
    "crops.erode": 0,
    "crops.dilate": 0,
    "refine.method": "none",
    "evaluate.matching": "count",
}
LANES = 3


def stages(*names: str) -> set[str]:
    """Both splits of each name; `eigen@val`, `cluster` and `report` stand for themselves."""
    whole = ("cluster", "report", "needed", "model")
    return {
        stage
        for name in names
        for stage in ([name] if name in whole or "@" in name else [f"{name}@train", f"{name}@val"])
    }


SCORING = stages("index", "evaluate", "report")
AFTER_CROPS = stages("cluster", "assign", "refine", "evaluate", "report")
AFTER_SEGMENTS = AFTER_CROPS | stages("crops")
# `needed` runs where an edit may change which artifacts are read; where it does not, nothing follows from it.
# A stage whose inputs turn out the same does not run: eigen.tau, for one, is recorded in the artifact of eigen, but its
# eigenvectors stay (tau is for affinity binary), so segments runs, gives the same bytes, and nothing after it runs but
# the report, which prints the params.
EDITS: dict[str, tuple[Any, set[str]]] = {
    "index.classes": (["air", "water", "grass", "sand", "foliage", "brick"], SCORING),
    "index.ignore": ([254, 255], SCORING),
    "index.splits": ({"train": {"images": "images/train/*", "labels": "labels/train/*"}}, {"report"}),
    "index.splits.val.images": ("images/val/*0[12].*", {s for s in ALL if s.endswith("@val")} | {"report"}),
    "index.splits.val.labels": (None, {"index@val", "evaluate@val", "report"}),
    "features.stride": (16, ALL - stages("index", "needed")),
    "eigen.tau": (0.3, stages("eigen", "segments", "report")),
    "model.seed": (1, {"model"}),  # and is left empty again
    "segments.method": ("kmeans", AFTER_SEGMENTS | stages("segments", "eigen", "needed")),  # eigen is left empty
    "segments.num_segments": (5, AFTER_SEGMENTS | stages("segments", "needed")),
    "segments.min_tokens": (1, stages("segments", "crops", "assign", "evaluate", "report")),
    "crops.erode": (1, stages("crops", "cluster", "assign", "report")),
    "cluster.k": (5, AFTER_CROPS),
    "cluster.fit_split": ("val", AFTER_CROPS | stages("segments", "model")),
    "assign.background_collision": (True, AFTER_CROPS - {"cluster"}),
    "refine.upsampling": ("stretch", stages("refine", "evaluate", "report")),
    "evaluate.matching": ("iou", stages("evaluate", "report")),
    "report.max_images": (2, {"report"}),
}
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def repro(command: Command) -> Callable[[Path], set[str]]:
    """Run `dvc repro` and return the stages that it ran."""

    def run(project: Path) -> set[str]:
        text = command(project, "dvc", "repro").stdout
        settled = re.findall(r"^Stage '(.+?)' (?:didn't change|is cached)", text, re.MULTILINE)
        ran = re.findall(r"^Running stage '(.+?)':", text, re.MULTILINE)
        assert not set(ran) & set(settled)
        assert len(ran) + len(settled) == len(set(ran) | set(settled)) >= len(ALL) - len(PER_SPLIT)
        return set(ran)

    return run


@pytest.fixture(scope="module")
def demo(
    tmp_path_factory: pytest.TempPathFactory,
    command: Command,
    repro: Callable[[Path], set[str]],
    edit: Callable[[Path, dict[str, Any]], None],
) -> Path:
    """The demo of the repository with three images a split, after its first `dvc repro`; copy it, never write to it."""
    project = tmp_path_factory.mktemp("demo") / "usseg"
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for folder in ("pipeline", "stages", "results"):
        shutil.copytree(ROOT / folder, project / folder, ignore=ignored)
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, project / name)
    for kind, split in product(("images", "labels"), ("train", "val")):
        folder = Path("data/demo") / kind / split
        (project / folder).mkdir(parents=True)
        for path in sorted((ROOT / folder).iterdir())[1:4]:
            shutil.copy(path, project / folder)
    edit(project, PINNED)
    command(project, "git", "init", "-q")
    command(project, "dvc", "init", "-q")
    command(project, "dvc", "config", "core.analytics", "false")
    assert repro(project) == ALL
    return project


@pytest.fixture(scope="module")
def reruns(
    tmp_path_factory: pytest.TempPathFactory,
    demo: Path,
    repro: Callable[[Path], set[str]],
    edit: Callable[[Path, dict[str, Any]], None],
) -> Iterator[Callable[[str], set[str]]]:
    """The stages that run after each edit. Every edit is made to the first params.yaml, so it undoes the one before.

    The edits are shared out to copies of the project, which run side by side; then each copy's last edit is undone.
    """

    def lane(number: int) -> dict[str, set[str]]:
        project = tmp_path_factory.mktemp("lane") / "usseg"
        shutil.copytree(demo, project, symlinks=True)
        found = {}
        for name in list(EDITS)[number::LANES]:
            shutil.copy(demo / "params.yaml", project)
            edit(project, {name: EDITS[name][0]})
            found[name] = repro(project)
        shutil.copy(demo / "params.yaml", project)
        found[f"undo {number}"] = repro(project)
        shutil.copy(project / "dvc.lock", demo.parent / f"undone {number}.lock")
        return found

    with ThreadPoolExecutor(LANES) as pool:
        lanes = [pool.submit(lane, number) for number in range(LANES)]
        yield lambda name: next(found[name] for found in (done.result() for done in lanes) if name in found)


def test_everything_is_made(demo: Path, command: Command) -> None:
    for stage in ALL - {"cluster", "report", "needed", "model"}:
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


@pytest.mark.parametrize(
    ("name", "find", "put", "expected"),
    [
        ("pipeline/runner.py", '"""', '"""A comment. ', set()),
        ("results/tables.py", '"""', '"""A comment. ', set()),
        ("pipeline/format.py", '"""', '"""A comment. ', set()),
        ("pipeline/format.py", f"FORMAT = {FORMAT}", f"FORMAT = {FORMAT + 1}", ALL),
        ("stages/features/lowlevel.py", '"""', '"""A comment. ', {"needed", *stages("features", "crops")}),
        ("stages/segmenter/concepts.py", '"""', '"""A comment. ', {"needed", "model", *stages("segments")}),
        ("stages/cluster/model.py", '"""', '"""A comment. ', {"needed", "cluster", *stages("assign")}),
        ("stages/evaluate/scores.py", '"""', '"""A comment. ', {"needed", "report", *stages("evaluate")}),
    ],
)
def test_an_edit_of_the_code_runs_what_may_call_it(
    name: str,
    find: str,
    put: str,
    expected: set[str],
    demo: Path,
    tmp_path: Path,
    command: Command,
) -> None:
    project = tmp_path / "usseg"
    shutil.copytree(demo, project, symlinks=True)
    text = (project / name).read_text()
    assert find in text
    (project / name).write_text(text.replace(find, put, 1))
    for junk in (f"{name}~", "stages/features/.#stage.py", "stages/eigen/notes.txt"):
        (project / junk).write_text("of an editor")
    changed = json.loads(command(project, "dvc", "status", "--json").stdout)
    direct = {
        stage
        for stage, found in changed.items()
        if any(
            path.startswith(("stages", "pipeline", "results")) for one in found for path in one.get("changed deps", ())
        )
    }
    assert direct == expected


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


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_runs_exactly_the_stages_that_it_changes(name: str, reruns: Callable[[str], set[str]]) -> None:
    assert reruns(name) == EDITS[name][1]


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
    command: Command,
) -> None:
    project = tmp_path / "usseg"
    shutil.copytree(demo, project, symlinks=True)
    objects = {
        **{"segments.method": "tokencut", "segments.background": "border", "evaluate.method": "objects"},
        **{"refine.source": "segments", "refine.method": "guided_filter", "refine.foreground": True},
    }
    edit(project, objects)
    assert repro(project) == ALL - stages("index", "features", "model")
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
    assert repro(project) == stages("refine", "evaluate", "report")
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


@pytest.mark.parametrize("lane", range(LANES))
def test_an_undone_edit_comes_from_the_cache(lane: int, reruns: Callable[[str], set[str]], demo: Path) -> None:
    assert reruns(f"undo {lane}") == set()
    assert (demo.parent / f"undone {lane}.lock").read_bytes() == (demo / "dvc.lock").read_bytes()


def test_every_section_has_an_edit() -> None:
    assert {name.partition(".")[0] for name in EDITS} == {*PER_SPLIT, "model", "cluster", "report"}
