import shutil
from typing import Any

import numpy as np
import psutil
import pytest
import zarr

from usseg.pipeline.artifact import open_artifact, seal
from usseg.pipeline.errors import ParamsError
from usseg.stages.eigen import laplacian
from usseg.stages.eigen.stage import EigenParams

AFFINITIES = EigenParams.model_fields["affinity"].annotation.__args__
ARRAYS = ("eigenvalues", "eigenvectors", "num_eigenvectors", "components", "degenerate", "grid")


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(
    ("affinity", "laplacian_"),
    [
        *((name, "normalized") for name in AFFINITIES),
        *((n, "plain") for n in AFFINITIES if n not in ("affinity", "svd")),
    ],
)
def test_every_affinity_on_odd_images(odd_project, affinity: str, laplacian_: str) -> None:
    """Among them tokens that are all alike, of zeros only, with a zero among them, and of two tones."""
    with_tokens(odd_project, alike=3, zeros=4, hole=5, tones=6)
    shutil.rmtree(odd_project.path / "artifacts/eigen")
    odd_project.set({"eigen.affinity": affinity, "eigen.laplacian": laplacian_})
    eigen = odd_project.run("eigen")
    first = {name: eigen[name][:] for name in ARRAYS}
    assert all(np.isfinite(values).all() for values in first.values())
    values, vectors = first["eigenvalues"], first["eigenvectors"]
    for row, (nodes, found) in enumerate(zip(first["grid"].prod(axis=1), first["num_eigenvectors"], strict=True)):
        assert 1 <= found <= min(5, nodes)
        assert not vectors[row, found:].any()
        assert not vectors[row, :, nodes:].any()
        ordered = np.diff(values[row, :found])
        assert (ordered <= 1e-6).all() if affinity in ("affinity", "svd") else (ordered >= -1e-6).all()
    # One token, photo, alike, zeros, hole, two tones. (To lowlevel the tokens of a constant image differ a little by position.)
    assert first["degenerate"].tolist()[1:] == [True, False, True, True, False, False]


@pytest.mark.parametrize("affinity", AFFINITIES)
def test_an_image_has_the_same_eigenpairs_in_any_company(odd_project, affinity: str) -> None:
    odd_project.set({"eigen.affinity": affinity, "eigen.color_weight": 0.0 if affinity == "svd" else 0.5})
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
    with pytest.raises(ParamsError, match=r"eigen: the largest image has 48 tokens, .* set features\.resize"):
        finished_project.run("eigen")
    assert finished_project.artifact("eigen").params["k"] == 5


@pytest.mark.parametrize("solver", ["block_lanczos", "batched", "dense"])
@pytest.mark.parametrize(
    "edits",
    [
        {},
        {"eigen.color_weight": 10.0},
        {"eigen.affinity": "binary"},
        {"eigen.affinity": "simsam_released", "eigen.color_weight": 1.0, "eigen.color": "rw"},
        {"eigen.affinity": "pca"},
    ],
)
def test_another_device_gives_the_same_eigenvalues(
    edits: dict[str, Any], solver: str, finished_project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's name cpu:0 goes the way of a GPU: graphs of equally many tokens in one batch."""
    finished_project.set({**edits, "eigen.k": 6, "eigen.solver": solver})
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
    finished_project.set({"eigen.solver": "iterative"})
    here = finished_project.run("eigen")
    np.testing.assert_allclose(found.pop("eigenvalues"), here["eigenvalues"][:], atol=1e-5)
    for name, values in found.items():
        np.testing.assert_array_equal(values, here[name][:])
