"""`dvc repro` after an edit of params.yaml or of the code: it runs exactly the stages that the edit changes."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from usseg.pipeline.format import FORMAT

PER_SPLIT = ("index", "features", "eigen", "segments", "crops", "assign", "refine", "evaluate")
ALL = {
    *(f"{stage}@{split}" for stage, split in product(PER_SPLIT, ("train", "val"))),
    "cluster",
    "report",
    "needed",
    "model",
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
def reruns(
    tmp_path_factory: pytest.TempPathFactory,
    demo: Path,
    repro: Callable[[Path], set[str]],
    edit: Callable[[Path, dict[str, Any]], None],
) -> Iterator[Callable[[str], set[str]]]:
    """The stages that run after each edit. Every edit is made to the first params.yaml, so it undoes the one before.

    The edits are shared out to copies of the project, which run side by side; then each copy's last edit is undone.
    A test waits for its own edit.
    """
    found: dict[str, Future[set[str]]] = {
        name: Future() for name in [*EDITS, *(f"undo {number}" for number in range(LANES))]
    }

    def lane(number: int) -> None:
        names = [*list(EDITS)[number::LANES], f"undo {number}"]
        project = tmp_path_factory.mktemp("lane") / "usseg"
        try:
            shutil.copytree(demo, project, symlinks=True)
            for name in names:
                shutil.copy(demo / "params.yaml", project)
                if name in EDITS:
                    edit(project, {name: EDITS[name][0]})
                ran = repro(project)
                shutil.copy(project / "dvc.lock", demo.parent / f"after {name}.lock")
                found[name].set_result(ran)
        except BaseException as error:  # raised by the tests that wait
            for name in names:
                if not found[name].done():
                    found[name].set_exception(error)

    with ThreadPoolExecutor(LANES) as pool:
        pool.map(lane, range(LANES))
        yield lambda name: found[name].result()


@pytest.mark.parametrize(
    ("name", "find", "put", "expected"),
    [
        ("pipeline/runner.py", '"""', '"""A comment. ', set()),
        ("results/tables.py", '"""', '"""A comment. ', set()),
        ("pipeline/format.py", '"""', '"""A comment. ', set()),
        ("pipeline/format.py", f"FORMAT = {FORMAT}", f"FORMAT = {FORMAT + 1}", ALL),
        ("stages/features/lowlevel.py", '"""', '"""A comment. ', {"needed", *stages("features", "crops")}),
        ("stages/model/concepts.py", '"""', '"""A comment. ', {"needed", "model", *stages("segments")}),
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


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_runs_exactly_the_stages_that_it_changes(name: str, reruns: Callable[[str], set[str]]) -> None:
    assert reruns(name) == EDITS[name][1]


@pytest.mark.parametrize("lane", range(LANES))
def test_an_undone_edit_comes_from_the_cache(lane: int, reruns: Callable[[str], set[str]], demo: Path) -> None:
    assert reruns(f"undo {lane}") == set()
    assert (demo.parent / f"after undo {lane}.lock").read_bytes() == (demo / "dvc.lock").read_bytes()


def test_every_section_has_an_edit(entries: Callable[..., set[str]]) -> None:
    assert entries() == ALL
    assert {name.partition(".")[0] for name in EDITS} == {*PER_SPLIT, "model", "cluster", "report"}
