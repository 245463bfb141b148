from pathlib import Path

import pytest

from usseg.pipeline.errors import ParamsError
from usseg.pipeline.execution import Execution
from usseg.pipeline.project import Project
from usseg.results.comparison_page import comparison_page
from usseg.results.method_pairs import run_pairs
from usseg.results.metrics import read_metrics
from usseg.stages import STAGES


def metrics(project: Path) -> dict:
    return read_metrics(project, "val")


def test_pairs_score_as_the_pipeline_does(finished_project, tmp_path: Path) -> None:
    finished_project.set({"segments.options.n_init": 3})
    folder, execution = tmp_path / "grid", Execution()
    pairs = list(
        run_pairs(Project.open(STAGES, finished_project.path), folder, ["spectral", "acg"], ["kmeans", "ot"], execution)
    )
    assert [(p.segments, p.cluster) for p in pairs] == [
        *(("spectral", "kmeans"), ("spectral", "ot")),
        *(("acg", "kmeans"), ("acg", "ot")),
    ]
    for pair in pairs:
        options = {"num_segments": 3, "n_init": 3} if pair.segments == "spectral" else {}
        edits = {"segments.method": pair.segments, "segments.options": options, "cluster.method": pair.cluster}
        finished_project.set(edits)
        finished_project.run_all("segments", "crops", "cluster", "assign", "refine", "evaluate")
        assert metrics(pair.project.root) == metrics(finished_project.path)
    page = comparison_page(pairs, split="val", max_images=1)
    assert page.count("<figure") == 2 + len(pairs)
    assert f"{metrics(pairs[3].project.root)['miou']:.3f}" in page


def test_a_second_run_computes_nothing(finished_project, tmp_path: Path) -> None:
    execution = Execution()
    first = list(
        run_pairs(Project.open(STAGES, finished_project.path), tmp_path / "grid", ["kmeans"], ["ot"], execution)
    )
    notes = {path: path.read_bytes() for path in (tmp_path / "grid/kmeans").rglob("[!.]*.run.json")}
    assert len(notes) == 2 + 2 + 1 + 2 * 3
    assert (
        list(run_pairs(Project.open(STAGES, finished_project.path), tmp_path / "grid", ["kmeans"], ["ot"], execution))
        == first
    )
    assert notes == {path: path.read_bytes() for path in notes}


def test_objects_are_compared_without_clusters(finished_project, tmp_path: Path) -> None:
    edits = {"segments.background": "border", "refine.source": "segments", "evaluate.method": "objects"}
    finished_project.set(edits)
    pairs = list(
        run_pairs(
            Project.open(STAGES, finished_project.path), tmp_path, ["fiedler", "tokencut"], ["kmeans"], Execution()
        )
    )
    assert [p.segments for p in pairs] == ["fiedler", "tokencut"]
    for pair in pairs:
        made = {path.parent.name for path in (pair.project.root / "artifacts").glob("*/val.zarr")}
        assert made == {"index", "features", "eigen", "segments", "refine", "evaluate"}
    page = comparison_page(pairs, split="val", max_images=1)
    assert "accuracy / iou / dataset_iou / max_f / max_f_selfmask" in page
    assert f"{metrics(pairs[1].project.root)['max_f']:.3f}" in page


def test_a_root_below_the_home_folder(finished_project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(finished_project.path))
    finished_project.set({"index.root": "~/data"})
    finished_project.run_all("index", "features")
    pairs = list(
        run_pairs(Project.open(STAGES, finished_project.path), tmp_path / "grid", ["kmeans"], ["kmeans"], Execution())
    )
    assert metrics(pairs[0].project.root)["labelled"]


def test_an_unknown_method_is_one_line(finished_project, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"segments\.method: found 'spektral'"):
        list(run_pairs(Project.open(STAGES, finished_project.path), tmp_path, ["spektral"], ["ot"], Execution()))
