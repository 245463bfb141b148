import shutil
from dataclasses import replace

import numpy as np
import pytest

from usseg.pipeline.errors import ArtifactError, ParamsError
from usseg.stages.segments.methods import METHODS

TRAINED = {"sempart": {"segmenter.method": "sempart", "segmenter.options": {"width": 4, "epochs": 2, "batch": 2}}}
IDS = ["constant", "dot", "photo0", "photo1", "photo2", "photo3", "wide"]


def maps_of(artifact) -> list[np.ndarray]:
    grids = artifact["grid"][:]
    return [artifact["segments"][i, : h * w].reshape(h, w) for i, (h, w) in enumerate(grids.tolist())]


def choose(project, method: str, **edits) -> None:
    """Choose a method of segments. The odd project has a segmenter for acg; another one is trained."""
    project.set({"segments.method": method, **edits, **TRAINED.get(method, {})})
    if method in TRAINED:
        project.run("segmenter")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("background", ["border", "none"])
def test_every_method_on_odd_images(odd_project, method: str, background: str) -> None:
    choose(odd_project, method, **{"segments.background": background})
    artifact = odd_project.run("segments")
    segments, counts, grids = artifact["segments"][:], artifact["num_segments"][:], artifact["grid"][:]
    assert segments.dtype == np.int16
    for row, grid in enumerate(grids):
        area = int(grid.prod())
        assert (segments[row, area:] == -1).all()
        ids = np.unique(segments[row, :area]).tolist()
        assert ids == list(range(0 if 0 in ids else 1, counts[row] + 1))
        assert 0 not in ids or background == "border"
    # A single token is the background, where there is one; a mask proposal and a trained network need no other token.
    # (lowlevel tells the tokens of a constant image apart by position.)
    assert counts[1] == (0 if background == "border" and method not in ("primaps", "sempart") else 1)
    assert counts[2:].min() >= 1


@pytest.mark.parametrize(("method", "other"), [("acg", "sempart"), ("sempart", "acg")])
def test_labels_of_another_segmenter_are_refused(odd_project, method: str, other: str) -> None:
    odd_project.set({"segments.method": method, "segmenter.method": other})
    line = rf"segmenter\.method: found '{other}'; segments\.method: {method} needs {method} here too"
    with pytest.raises(ParamsError, match=line):
        odd_project.run("segments")


@pytest.mark.parametrize("method", METHODS)
def test_an_image_has_the_same_segments_in_any_company(odd_project, method: str) -> None:
    choose(odd_project, method)
    together = dict(zip(IDS, maps_of(odd_project.run("segments")), strict=True))
    odd_project.set({"index.splits": {"train": {"images": "images/train/[pw]*[3e].png", "labels": None}}})
    for stage in ("index", "features", "eigen"):
        odd_project.run(stage)
    alone = odd_project.run("segments")
    for name, segments in zip(["photo3", "wide"], maps_of(alone), strict=True):
        np.testing.assert_array_equal(segments, together[name])


@pytest.mark.parametrize(
    "method", [name for name, entry in METHODS.items() if "eigen" not in entry.reads(entry.options())]
)
def test_a_method_without_eigenvectors_runs_without_them(odd_project, method: str) -> None:
    choose(odd_project, method)
    expected = maps_of(odd_project.run("segments"))
    shutil.rmtree(odd_project.path / "artifacts/eigen")
    shutil.rmtree(odd_project.path / "artifacts/segments")
    for found, before in zip(maps_of(odd_project.run("segments")), expected, strict=True):
        np.testing.assert_array_equal(found, before)
    odd_project.set({"segments.method": "kmeans", "segments.options.num_segments": "eigengap"})
    with pytest.raises(ArtifactError, match=r"segments needs artifacts/eigen/train\.zarr; run: usseg stage eigen"):
        odd_project.run("segments")


@pytest.mark.parametrize("method", [name for name, entry in METHODS.items() if entry.pair_bytes])
def test_a_graph_beyond_memory_is_one_line(odd_project, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    odd_project.set({"segments.method": method})
    monkeypatch.setitem(METHODS.loaded, method, replace(METHODS[method], pair_bytes=2**50))
    with pytest.raises(
        ParamsError, match=r"segments@train: the largest image has 66 tokens, whose graph takes \d+ GiB"
    ):
        odd_project.run("segments")


def test_more_segments_than_tokens(odd_project) -> None:
    odd_project.set({"segments.options.num_segments": 60, "segments.background": "none"})
    counts = odd_project.run("segments")["num_segments"][:]
    assert counts[1] == 1
    assert counts.max() <= 60


def test_small_pieces_are_merged(odd_project) -> None:
    odd_project.set({"segments.options.num_segments": 8, "segments.background": "none"})
    before = odd_project.run("segments")["num_segments"][:]
    odd_project.set({"segments.min_tokens": 48})
    after = odd_project.run("segments")["num_segments"][:]
    assert (after <= before).all()
    assert after[2:6].tolist() == [1] * 4


@pytest.mark.parametrize(
    ("edits", "line"),
    [
        (
            {"segments.options": {"n_inti": 3}},
            r"segments\.options \(spectral\)\.n_inti: unknown key; did you mean 'n_init'",
        ),
        ({"segments.options": {"n_init": 0}}, r"segments\.options \(spectral\)\.n_init: found 0"),
        (
            {"segments.options.num_segments": 0},
            r"segments\.options \(spectral\)\.num_segments: found 0; input should be greater than or equal to 1 or 'eigengap'",
        ),
        (
            {"segments.options.num_segments": "egengap"},
            r"num_segments: found 'egengap'; input should be a valid integer or 'eigengap'",
        ),
        (
            {"segments.background": "boarder"},
            r"segments\.background: found 'boarder'; input should be 'border' or 'none'",
        ),
    ],
)
def test_refused_params(odd_project, edits: dict, line: str) -> None:
    odd_project.set(edits)
    with pytest.raises(ParamsError, match=line):
        odd_project.run("segments")
    assert not (odd_project.path / "artifacts/segments/train.zarr").exists()
