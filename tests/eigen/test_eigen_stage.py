from typing import Any

import numpy as np
import psutil
import pytest

from pipeline.errors import ParamsError
from stages.eigen import laplacian


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
        {"eigen.affinity": "simsam_released", "eigen.color_weight": 1.0},
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
