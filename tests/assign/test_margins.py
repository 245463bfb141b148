"""The margins of stage assign: by plain NumPy, for background and padding, for segments and for tokens."""

import numpy as np
import pytest

from usseg.stages.cluster.methods import METHODS

QUICK = {"abc": {"epochs": 4, "hidden": 16}, "primaps_em": {"init_epochs": 1, "epochs": 3, "batch": 2}}


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(np.linalg.norm(vector), 1e-12)


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("split", ["train", "val"])
def test_margins_of_segments(odd_project, metric: str, split: str) -> None:
    odd_project.set({"segments.background": "border", "cluster.k": 3, "cluster.options": {"metric": metric}})
    odd_project.run_all("segments", "crops", "cluster")
    assign, crops = odd_project.run("assign", split), odd_project.artifact("crops", split)
    cluster = odd_project.artifact("cluster")
    centers, mean, scale = (cluster[name][:].astype(np.float64) for name in ("centers", "mean", "scale"))
    segments = odd_project.artifact("segments", split)["segments"][:]
    by_token, by_segment = assign["margin"][:], assign["segment_margin"][:]
    assert by_token.dtype == by_segment.dtype == np.float16
    assert by_segment.shape == assign["segment_labels"].shape
    expected = np.zeros(by_segment.shape)
    for image, count in enumerate(crops["num_segments"][:]):
        for s in range(count):
            row = (unit(crops["features"][image, s].astype(np.float64)) - mean) * scale
            row = unit(row) if metric == "cosine" else row
            first, second = sorted(np.linalg.norm(row - centers, axis=1))[:2]
            expected[image, s] = (second - first) / second if second else 0
    np.testing.assert_allclose(by_segment, expected, atol=1e-3)
    padded = np.pad(by_segment, ((0, 0), (1, 0)), constant_values=1)
    np.testing.assert_array_equal(
        by_token, np.where(segments < 0, 0, np.take_along_axis(padded, np.maximum(segments, 0).astype(int), axis=1))
    )
    assert (segments == 0).any()
    assert len(np.unique(by_segment)) > 2


@pytest.mark.parametrize(
    ("name", "rows"),
    [(name, rows) for name in METHODS for rows in ("segments", "tokens") if (name, rows) != ("primaps_em", "segments")],
)
def test_margins_of_every_method(tiny_project, name: str, rows: str) -> None:
    tiny_project.set({"cluster.method": name, "cluster.rows": rows, "cluster.options": QUICK.get(name, {})})
    tiny_project.set({"cluster.norm_std": True, "cluster.k": 3})
    tiny_project.run_all("index", "features")
    if rows == "segments":
        tiny_project.run_all("eigen", "segments", "crops")
    elif name == "primaps_em":
        tiny_project.run_all("eigen", "segments")
    tiny_project.run_all("cluster", "assign")
    assign = tiny_project.artifact("assign")
    labels, margin = assign["labels"][:], assign["margin"][:]
    assert np.isfinite(margin).all()
    assert margin.min() >= 0
    assert margin.max() <= 1
    assert (margin[labels < 0] == 0).all()
    assert len(np.unique(margin[labels > 0])) > 2
    assert bool(assign["segment_margin"].shape[1]) == (rows == "segments")


def test_one_cluster_leaves_no_doubt(tiny_project) -> None:
    tiny_project.set({"cluster.k": 1})
    tiny_project.run_all("index", "features", "eigen", "segments", "crops", "cluster", "assign")
    assign = tiny_project.artifact("assign", "val")
    assert (assign["margin"][:][assign["labels"][:] >= 0] == 1).all()
    assert (assign["segment_margin"][:][assign["segment_labels"][:] >= 0] == 1).all()
