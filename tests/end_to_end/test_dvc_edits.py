"""An edit of params.yaml re-runs exactly the stages that it changes."""

import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

PER_SPLIT = ("index", "features", "eigen", "segments", "crops", "assign", "refine", "evaluate")
WHOLE = ("plan", "segmenter", "cluster", "report")
ALL = {*(f"{stage}@{split}" for stage, split in product(PER_SPLIT, ("train", "val"))), *WHOLE}


def stages(*names: str) -> set[str]:
    """Both splits of each name; `eigen@val`, `cluster` and `report` stand for themselves."""
    return {
        stage
        for name in names
        for stage in ([name] if name in WHOLE or "@" in name else [f"{name}@train", f"{name}@val"])
    }


SCORING = stages("index", "evaluate", "report")
AFTER_CROPS = stages("cluster", "assign", "refine", "evaluate", "report")
AFTER_SEGMENTS = AFTER_CROPS | stages("crops")
# `plan` runs after every edit. A stage whose plan and inputs turn out the same does not run: an edit of `segmenter`,
# which no chosen method reads, changes no plan; eigen.options.color is recorded in the artifact of eigen, but its
# eigenvectors stay (the colours have no weight), so segments runs, gives the same bytes, and nothing after it runs but
# the report, which prints the params.
EDITS: dict[str, tuple[Any, set[str]]] = {
    "index.classes": (["air", "water", "grass", "sand", "foliage", "brick"], SCORING),
    "index.ignore": ([254, 255], SCORING),
    "index.splits": ({"train": {"images": "images/train/*", "labels": "labels/train/*"}}, {"report"}),
    "index.splits.val.images": ("images/val/*0[12].*", {s for s in ALL if s.endswith("@val")} | {"report"}),
    "index.splits.val.labels": (None, {"index@val", "evaluate@val", "report"}),
    "index.fit_split": ("val", AFTER_CROPS | stages("segments", "segmenter")),
    "features.options.stride": (16, ALL - stages("index", "plan")),
    "eigen.options.color": ("rw", stages("eigen", "segments", "report")),
    "segmenter.seed": (1, set()),
    "segments.method": ("kmeans", AFTER_SEGMENTS | stages("segments", "eigen")),  # eigen is left empty
    "segments.options.num_segments": (5, AFTER_SEGMENTS | stages("segments")),
    # DVC runs the command of cluster, which finds its artifact up to date: only primaps_em reads the segments.
    "segments.min_tokens": (1, stages("segments", "crops", "cluster", "assign", "refine", "evaluate", "report")),
    "crops.options.erode": (1, stages("crops", "cluster", "assign", "report")),
    "cluster.k": (5, AFTER_CROPS),
    "assign.background_collision": (True, AFTER_CROPS - {"cluster"}),
    "refine.upsampling": ("stretch", stages("refine", "evaluate", "report")),
    "evaluate.options.matching": ("iou", stages("evaluate", "report")),
    "report.max_images": (2, {"report"}),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_runs_exactly_the_stages_that_it_changes(
    name: str,
    demo_copy: Path,
    edit: Callable[[Path, dict[str, Any]], None],
    reruns: Callable[[Path], set[str]],
) -> None:
    value, expected = EDITS[name]
    edit(demo_copy, {name: value})
    assert reruns(demo_copy) == {"plan"} | expected


def test_dvc_runs_what_its_status_names(
    demo_copy: Path,
    demo: Path,
    edit: Callable[[Path, dict[str, Any]], None],
    repro: Callable[[Path], set[str]],
) -> None:
    edit(demo_copy, {"index.splits.val.labels": None})
    assert repro(demo_copy) == {"plan"} | EDITS["index.splits.val.labels"][1]
    shutil.copy(demo / "params.yaml", demo_copy)
    assert repro(demo_copy) == set()  # it comes from the cache of DVC
    assert (demo_copy / "dvc.lock").read_bytes() == (demo / "dvc.lock").read_bytes()


def test_every_section_has_an_edit(entries: Callable[..., set[str]]) -> None:
    assert entries() == ALL
    assert {name.partition(".")[0] for name in EDITS} == {*PER_SPLIT, *WHOLE} - {"plan"}
