from pathlib import Path

import pytest

from usseg.pipeline.artifact import artifact_path, open_artifact
from usseg.pipeline.errors import ParamsError
from usseg.pipeline.execution import Execution
from usseg.pipeline.project import Project
from usseg.results.comparison import summary_of
from usseg.results.comparison_page import comparison_page
from usseg.results.method_pairs import Pair, run_pairs
from usseg.results.metrics import read_metrics
from usseg.results.score_summary import RunScores, Summary
from usseg.stages import STAGES
from usseg.stages.evaluate.method import main_scores


def metrics(project: Path) -> dict:
    return read_metrics(project, "val")


def summary_of_pairs(pairs: list[Pair]) -> Summary:
    runs = [RunScores(p.segments, p.cluster, p.seed, main_scores(metrics(p.project.root))) for p in pairs]
    return summary_of(pairs[0].project, runs, split="val", seeds=())


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
    page = comparison_page(pairs, summary_of_pairs(pairs), {}, max_images=1)
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
    summary = summary_of_pairs(pairs)
    assert list(summary.titles) == ["accuracy", "iou", "dataset_iou", "max_f", "max_f_selfmask"]
    page = comparison_page(pairs, summary, {}, max_images=1)
    assert "maxF, β² = 0.3" in page
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


def test_a_seed_is_that_of_every_stage_behind_the_features(finished_project, tmp_path: Path) -> None:
    """The runs of a seed score as a project with these seeds does; features and eigenvectors are those of the source."""
    finished_project.set({"segmenter.options": {"epochs": 2, "prototypes": 3, "updates": 1}})
    source, folder = Project.open(STAGES, finished_project.path), tmp_path / "grid"
    runs = list(run_pairs(source, folder, ["acg"], ["kmeans", "ot"], Execution(), seeds=[3, 8]))
    assert [(run.seed, run.cluster) for run in runs] == [(3, "kmeans"), (3, "ot"), (8, "kmeans"), (8, "ot")]
    for run in runs:
        params = run.project.params
        assert {name for name in STAGES if getattr(params[name], "seed", None) == run.seed} == {
            *("segmenter", "segments", "cluster")
        }
        assert run.project.root == folder / f"acg/seed-{run.seed}" / run.cluster
        own = {"segmenter": run.project.root.parent, "segments": run.project.root.parent}
        for stage, owner in {"features": source.root, **own}.items():
            assert (run.project.root / "artifacts" / stage).resolve() == owner / "artifacts" / stage
    notes = {path: path.read_bytes() for path in (folder / "acg").rglob("[!.]*.run.json")}
    assert list(run_pairs(source, folder, ["acg"], ["kmeans", "ot"], Execution(), seeds=[3, 8])) == runs
    assert notes == {path: path.read_bytes() for path in notes}
    seeds = {f"{stage}.seed": 8 for stage in ("segmenter", "segments", "cluster")}
    finished_project.set({"segments.method": "acg", "segments.options": {}, "cluster.method": "ot", **seeds})
    finished_project.run_all("segmenter", "segments", "crops", "cluster", "assign", "refine", "evaluate")
    assert metrics(runs[3].project.root) == metrics(finished_project.path)


def test_every_trained_segmenter_is_trained_for_its_own_method(finished_project, tmp_path: Path) -> None:
    """acg has the segmenter of the source; sempart has one of its own, also when the source changes to sempart."""
    epochs = {"segmenter.options": {"epochs": 1}, "segments.background": "border"}
    objects = {"refine.source": "segments", "evaluate.method": "objects"}
    finished_project.set({**epochs, **objects})
    for method in ("acg", "sempart"):
        finished_project.set({"segmenter.method": method, "segmenter.options": {"epochs": 1}})
        source = Project.open(STAGES, finished_project.path)
        pairs = list(run_pairs(source, tmp_path / "grid", ["acg", "sempart"], ["kmeans"], Execution()))
        found = {pair.segments: artifact_path(pair.project.root, "segmenter", "train").resolve() for pair in pairs}
        assert found["sempart"] == tmp_path / "grid/sempart/artifacts/segmenter/train.zarr"
        owner = source.root if method == "acg" else tmp_path / "grid/acg"
        assert found["acg"] == owner / "artifacts/segmenter/train.zarr"
        for name, path in found.items():
            assert open_artifact(path).params["method"] == name
