"""usseg clusters: how many clusters, from the terminal."""

import csv
import re
import shutil

import numpy as np
import pytest

from usseg.pipeline.opening import open_inputs
from usseg.pipeline.project import Project
from usseg.results.cluster_choice import sampled_rows
from usseg.stages import STAGES
from usseg.stages.cluster.methods import kmeans
from usseg.stages.cluster.stage import scaled_features


def test_numbers_are_judged_without_labels(tiny_project, usseg) -> None:
    """From a project in which nothing has run. With labels removed, the output stays the same."""
    done = usseg(tiny_project.path, "clusters", "--k", "2-4")
    assert done.returncode == 0, done.stderr
    assert "12 segments of split train" in done.stdout
    rows = list(csv.DictReader((tiny_project.path / "plots/clusters.csv").read_text().splitlines()))
    assert [row["k"] for row in rows] == ["2", "3", "4"]
    for row in rows:
        assert re.search(rf"│ +{row['k']} │ +{float(row['silhouette']):.3f} ", done.stdout)
        assert -1 <= float(row["silhouette"]) <= 1 <= 1 + float(row["davies_bouldin"])
    assert (tiny_project.path / "plots/clusters.png").read_bytes().startswith(b"\x89PNG")
    suggested = re.search(r"^suggestion: (\d) clusters$", done.stdout, re.M)
    assert suggested
    assert done.stdout.splitlines()[-1] == f"next: usseg run --clusters {suggested[1]}"
    assert not (tiny_project.path / "artifacts/cluster/train.zarr").exists()
    shutil.rmtree(tiny_project.path / "data/labels")
    splits = {name: {"images": f"images/{name}/*", "labels": None} for name in ("train", "val")}
    tiny_project.set({"index.splits": splits, "index.classes": []})
    assert usseg(tiny_project.path, "clusters", "--k", "2-4").stdout == done.stdout


@pytest.mark.parametrize("rows", ["segments", "tokens"])
def test_the_rows_are_those_of_the_stage(finished_project, rows: str) -> None:
    edits = {"cluster.rows": rows, "cluster.norm_std": True, "cluster.pca": 5, "cluster.whiten": True}
    finished_project.set(edits)
    fitted = finished_project.run("cluster")
    project = Project.open(STAGES, finished_project.path)
    params = project.params["cluster"]
    features, scaling = scaled_features(params, open_inputs(project, "cluster", "train"))
    seen, areas = sampled_rows(features, scaling, 10_000, seed=0)
    assert len(seen) == fitted["counts"][:].sum()
    again = kmeans.fit(seen, areas, k=params.k, seed=params.seed, options=params.options)
    np.testing.assert_array_equal(again.centers, fitted["centers"][:])
    few, few_areas = sampled_rows(features, scaling, 7, seed=3)
    assert len(few) == len(few_areas) == 7
    places = [np.flatnonzero((seen == row).all(axis=1))[0] for row in few]
    assert places == sorted(set(places))
    np.testing.assert_array_equal(sampled_rows(features, scaling, 7, seed=3)[0], few)
    np.testing.assert_array_equal(areas[places], few_areas)


def test_of_many_tokens_a_sample_is_judged(finished_project, usseg) -> None:
    finished_project.set({"cluster.rows": "tokens", "cluster.method": "ot", "cluster.seed": 5})
    done = usseg(finished_project.path, "clusters", "--k", "2,3,40", "--max-rows", "30")
    assert done.returncode == 0, done.stderr
    assert "30 of 192 tokens of split train, a random sample (cluster.seed: 5)" in done.stdout
    assert "judged by k-means with its default options; cluster.method is ot" in done.stdout
    assert "left out: 40 clusters: there are not so many different tokens" in done.stdout


def test_equal_segments_are_one_line(finished_project, usseg) -> None:
    channels = finished_project.artifact("crops")["features"].shape[2]
    finished_project.set({"cluster.channel_weights": [0.0] * channels})
    done = usseg(finished_project.path, "clusters")
    assert done.returncode == 1
    assert re.search(
        r"^usseg: --k: found 2-20; \d+ segments of split train, 1 of them different, allow no such number$",
        done.stderr,
        re.M,
    )
    assert not (finished_project.path / "plots/clusters.png").exists()


@pytest.mark.parametrize("numbers", ["1-3", "a", "4-2", "2,2"])
def test_other_numbers_are_one_line_before_anything_runs(tiny_project, usseg, numbers: str) -> None:
    done = usseg(tiny_project.path, "clusters", "--k", numbers)
    assert done.returncode == 1
    assert done.stderr.startswith("usseg: --k: found ")
    assert done.stderr.count("\n") == 1
    assert not (tiny_project.path / "artifacts").exists()


def test_a_project_without_clusters_is_one_line(tiny_project, usseg) -> None:
    edits = {"segments.background": "border", "refine.source": "segments", "evaluate.method": "objects"}
    tiny_project.set(edits)
    done = usseg(tiny_project.path, "clusters")
    assert done.returncode == 1
    assert done.stderr == "usseg: params.yaml: no chosen method needs clusters; refine.source: assign would\n"
