import itertools
import shutil
from typing import Any

import numpy as np
import psutil
import pytest
import zarr

from usseg.pipeline.artifact import open_artifact
from usseg.pipeline.errors import ParamsError
from usseg.pipeline.publication import seal
from usseg.stages.eigen import laplacian
from usseg.stages.eigen.method import AffinityMethod
from usseg.stages.eigen.methods import METHODS, svd

AFFINITIES = tuple(METHODS)
ARRAYS = ("eigenvalues", "eigenvectors", "num_eigenvectors", "components", "degenerate", "grid")


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(
    ("affinity", "laplacian_"),
    [
        *((name, "normalized") for name in AFFINITIES),
        *((name, "plain") for name in AFFINITIES if METHODS[name].laplacian),
    ],
)
def test_every_affinity_on_odd_images(odd_project, affinity: str, laplacian_: str) -> None:
    """Among them tokens that are all alike, of zeros only, with a zero among them, and of two tones."""
    with_tokens(odd_project, alike=3, zeros=4, hole=5, tones=6)
    shutil.rmtree(odd_project.path / "artifacts/eigen")
    odd_project.set({"eigen.affinity": affinity})
    if METHODS[affinity].laplacian:
        odd_project.set({"eigen.options.laplacian": laplacian_})
    eigen = odd_project.run("eigen")
    first = {name: eigen[name][:] for name in ARRAYS}
    assert all(np.isfinite(values).all() for values in first.values())
    values, vectors = first["eigenvalues"], first["eigenvectors"]
    for row, (nodes, found) in enumerate(zip(first["grid"].prod(axis=1), first["num_eigenvectors"], strict=True)):
        assert 1 <= found <= min(5, nodes)
        assert not vectors[row, found:].any()
        assert not vectors[row, :, nodes:].any()
        ordered = np.diff(values[row, :found])
        assert (ordered <= 1e-6).all() if not METHODS[affinity].laplacian else (ordered >= -1e-6).all()
    # One token, photo, alike, zeros, hole, two tones. (To lowlevel the tokens of a constant image differ a little by
    # position.)
    assert first["degenerate"].tolist()[1:] == [True, False, True, True, False, False]


@pytest.mark.parametrize("affinity", AFFINITIES)
def test_an_image_has_the_same_eigenpairs_in_any_company(odd_project, affinity: str) -> None:
    odd_project.set({"eigen.affinity": affinity})
    if affinity != "svd":
        odd_project.set({"eigen.options.color_weight": 0.5})
    together = odd_project.run("eigen")
    before = {name: together[name][5:] for name in ARRAYS}  # photo3, wide
    odd_project.set({"index.splits": {"train": {"images": "images/train/[pw]*[3e].png", "labels": None}}})
    for stage in ("index", "features"):
        odd_project.run(stage)
    alone = odd_project.run("eigen")
    for name, values in before.items():
        np.testing.assert_array_equal(alone[name][:], values)


def with_tokens(project, *, alike: int, zeros: int, hole: int, tones: int) -> None:
    """Write other tokens into the features of four photos, as if they had been found so."""
    path = project.path / "artifacts/features/train.zarr"
    attrs = open_artifact(path).attrs
    stored = zarr.open_array(path / "patches", mode="r+")
    patches = stored[:]
    patches[alike, :48] = patches[alike, 0]
    patches[zeros] = 0
    patches[hole, 17] = 0
    patches[tones, :48:2], patches[tones, 1:48:2] = patches[2, 0], patches[2, 47]
    patches[tones, 48:66] = patches[2, 0]
    stored[:] = patches
    seal(path, {name: value for name, value in attrs.items() if name not in ("files", "content", "digest")})


def test_a_graph_that_does_not_fit_is_one_line(finished_project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"total": 16 * 47**2}))
    finished_project.set({"eigen.k": 4})
    with pytest.raises(ParamsError, match=r"eigen@train: the largest image has 48 tokens, .* set features\.resize"):
        finished_project.run("eigen")
    assert finished_project.artifact("eigen").params["k"] == 5


@pytest.mark.parametrize("solver", ["block_lanczos", "batched", "dense"])
@pytest.mark.parametrize(
    "edits",
    [
        {},
        {"eigen.options.color_weight": 10.0},
        {"eigen.affinity": "binary"},
        {"eigen.affinity": "simsam_released", "eigen.options.color_weight": 1.0, "eigen.options.color": "rw"},
        {"eigen.affinity": "pca"},
    ],
)
def test_another_device_gives_the_same_eigenvalues(
    edits: dict[str, Any], solver: str, finished_project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's name cpu:0 goes the way of a GPU: graphs of equally many tokens in one batch."""
    finished_project.set({**edits, "eigen.k": 6, "eigen.options.solver": solver})
    batches = []
    solve = laplacian.normalized_laplacian_batch
    with monkeypatch.context() as patch:
        patch.setattr(
            laplacian,
            "normalized_laplacian_batch",
            lambda graphs, **args: batches.append(len(graphs)) or solve(graphs, **args),
        )
        there = finished_project.run("eigen", device="cpu:0", batch_size=3)
    assert batches == [3, 1]
    found = {name: there[name][:] for name in ("eigenvalues", "components", "degenerate", "num_eigenvectors")}
    finished_project.set({"eigen.options.solver": "iterative"})
    here = finished_project.run("eigen")
    np.testing.assert_allclose(found.pop("eigenvalues"), here["eigenvalues"][:], atol=1e-5)
    for name, values in found.items():
        np.testing.assert_array_equal(values, here[name][:])


def test_an_affinity_gets_tokens_and_returns_weights(finished_project, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of our own, of which the stage solves the Laplacian, with and without colours."""
    got = []

    def weights(tokens, options) -> np.ndarray:
        got.append(tokens)
        halves = np.arange(tokens.features.shape[1]) % tokens.grids[0][1] < tokens.grids[0][1] // 2
        return np.where(halves[:, None] == halves, 1, 0.1).astype(np.float32)[None]

    monkeypatch.setitem(METHODS.loaded, "pca", AffinityMethod(summary="Left and right.", call=weights))
    finished_project.set({"eigen.affinity": "pca"})
    found = finished_project.run("eigen")
    assert [tokens.ids for tokens in got] == [[name] for name in finished_project.artifact("index")["id"][:]]
    features = finished_project.artifact("features")
    for row, tokens in enumerate(got):
        assert (tokens.features.dtype, tokens.device, tokens.k, tokens.colors) == (np.float32, "cpu", 5, [])
        np.testing.assert_array_equal(tokens.features[0], features["patches"][row])
        assert tokens.grids == [(6, 8)]
    left = np.tile(np.arange(8) < 4, 6)
    second, values = found["eigenvectors"][:, 1], found["eigenvalues"][:]
    assert ((second[:, left] > 0) != (second[:, ~left] > 0)).all()
    finished_project.set({"eigen.options.color_weight": 0.5})
    colored = finished_project.run("eigen")["eigenvalues"][:]
    assert got[-1].colors[0].shape == (6, 8, 3)
    assert np.abs(colored - values).max() > 1e-3


def test_options_of_a_laplacian_are_needed_for_one() -> None:
    with pytest.raises(
        TypeError, match="options: found Options; a subclass of LaplacianOptions is needed, or laplacian"
    ):
        AffinityMethod(summary="Of no graph.", call=svd.eigenpairs, options=svd.Options)
    AffinityMethod(summary="Of no graph.", call=svd.eigenpairs, options=svd.Options, laplacian=False)


@pytest.mark.parametrize("affinity", ["cos_relu", "affinity"])
def test_every_option_of_colours_counts(affinity: str, odd_project) -> None:
    """On an image that the grid does not cover: wide.png has 50 x 90 pixels, its grid 48 x 88."""
    odd_project.set({"eigen.affinity": affinity})
    found = [odd_project.run("eigen")["eigenvalues"][-1]]
    for options in ({}, {"color": "rw"}, {"color_align": "full"}, {"legacy_double_scale": True}):
        odd_project.set({"eigen.options": {"color_weight": 1.0, **options}})
        found.append(odd_project.run("eigen")["eigenvalues"][-1])
    for first, second in itertools.combinations(found, 2):
        assert np.abs(first - second).max() > 1e-6
