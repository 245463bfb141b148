"""PriMaPs-EM in the stage: its proposals, its loss curve, and the lines about votes."""

import csv
import re

import numpy as np
import pytest

from usseg.pipeline.errors import ParamsError
from usseg.stages.cluster.method import Clustering
from usseg.stages.cluster.methods import METHODS, primaps_em
from usseg.stages.cluster.proposals import image_proposals
from usseg.stages.cluster.scaling import fit_scaling

SMALL = {"init_epochs": 2, "epochs": 4, "batch": 3}


@pytest.fixture
def guided(tiny_project):
    """A project of PriMaPs-EM on small photos, with features and proposals."""
    tiny_project.set({"cluster.method": "primaps_em", "cluster.rows": "tokens", "cluster.options": SMALL})
    tiny_project.set({"cluster.k": 3, "cluster.norm_std": True, "segments.method": "primaps"})
    tiny_project.set({"segments.options": {"threshold": 0.9}, "segments.background": "border"})
    tiny_project.run_all("index", "features", "segments")
    return tiny_project


def test_the_stage_trains_on_the_proposals_of_stage_segments(guided) -> None:
    cluster = guided.run("cluster")
    segments = guided.artifact("segments")["segments"][:]
    assert cluster["votes"].shape == (4, 3)
    votes = cluster["votes"][:].sum(axis=1)
    assert (votes > 0).all()
    assert votes.max() <= (segments > 0).sum()
    with (guided.path / "plots/cluster/loss.csv").open() as stream:
        curve = [float(row["loss"]) for row in csv.DictReader(stream)]
    np.testing.assert_allclose(curve, cluster["history"][:], atol=1e-6)
    guided.set({"segments.options": {"threshold": 0.95}})
    guided.run("segments")
    assert (guided.run("cluster")["votes"][:].sum(axis=1) != votes).any()


@pytest.mark.parametrize("norm_std", [False, True])
def test_tokens_are_the_features_unless_the_params_scale_them(guided, norm_std: bool) -> None:
    features, segments = guided.artifact("features"), guided.artifact("segments")
    counts, patches = features["grid"][:].prod(axis=1), features["patches"][:].astype(np.float32)
    scaling = fit_scaling([patches[0]], patches.shape[2], norm_std=norm_std, pca=0, whiten=False)
    assert scaling.identity != norm_std
    read = image_proposals({"features": features, "segments": segments}, scaling)  # type: ignore[arg-type]
    assert read.counts.tolist() == counts.tolist()
    parts = read.of_equal_count(np.arange(len(counts))[::-1])
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(counts)))
    for part in parts:
        tokens, proposals = read.read(part)
        for row, i in enumerate(part):
            expected = patches[i, : counts[i]]
            np.testing.assert_allclose(tokens[row], scaling(expected) if norm_std else expected, atol=1e-5)
            np.testing.assert_array_equal(proposals[row], segments["segments"][i, : counts[i]])


@pytest.mark.parametrize(
    ("votes", "line"),
    [
        ([[3, 3, 3], [96, 4, 0]], "96 % of the votes of the last epoch are for one cluster"),
        ([[3, 3, 3], [0, 0, 0]], "no token is in a proposal"),
        ([[9, 0, 0], [60, 40, 0]], "1 of 3 clusters had no vote in the last epoch"),
        ([[9, 0, 0], [60, 39, 1]], ""),
        ([[9], [9]], ""),
    ],
)
def test_a_collapse_is_a_line(guided, votes, line: str, monkeypatch, caplog) -> None:
    fitted = Clustering(np.ones((len(votes[0]), 46), np.float32), np.zeros(2), np.zeros(1, np.float32), np.array(votes))
    guided.set({"cluster.k": len(votes[0])})
    entry = type(primaps_em.METHOD)(**{**vars(primaps_em.METHOD), "call": lambda *args, **kwargs: fitted})
    monkeypatch.setitem(METHODS.loaded, "primaps_em", entry)
    caplog.set_level("INFO")
    guided.run("cluster")
    said = [message for message in caplog.messages if re.search("vote|proposal", message)]
    assert [line in message for message in said] == ([True] if line else [])


def test_segments_as_rows_are_one_line(guided) -> None:
    guided.set({"cluster.rows": "segments"})
    with pytest.raises(ParamsError, match=r"cluster\.rows: found 'segments'; method: primaps_em clusters tokens"):
        guided.run("index")
