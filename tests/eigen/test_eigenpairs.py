from pathlib import Path

import numpy as np
import pytest

from stages.eigen.affinity import feature_affinity
from stages.eigen.laplacian import degrees, normalized_laplacian_eigenpairs

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden" / "dsm_affinity.npz"


def blocks(sizes: list[int], across: float) -> np.ndarray:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.where(labels[:, None] == labels, 1.0, across)


@pytest.mark.parametrize("solver", ["dense", "iterative", "batched"])
def test_two_blocks(solver: str) -> None:
    pairs = normalized_laplacian_eigenpairs(blocks([2, 2], 0.1), k=4, solver=solver)
    np.testing.assert_allclose(pairs.values, [0, 0.1818182, 1, 1], atol=1e-6)
    np.testing.assert_allclose(pairs.vectors[0], 0.3370999, atol=1e-6)
    np.testing.assert_allclose(np.abs(pairs.vectors[1]), 0.3370999, atol=1e-6)


def test_unequal_blocks_and_components() -> None:
    pairs = normalized_laplacian_eigenpairs(blocks([3, 2], 0.1), k=2)
    assert pairs.values[1] == pytest.approx(0.1929348, abs=1e-6)
    assert pairs.vectors[1][0] / pairs.vectors[1][3] == pytest.approx(-4.6 / 9.6, abs=1e-6)
    split = normalized_laplacian_eigenpairs(blocks([3, 2], 0.0), k=3)
    assert split.components == 2
    np.testing.assert_allclose(split.values, [0, 0, 1], atol=1e-9)
    assert len(np.unique(split.vectors[1].round(9))) == 2


@pytest.mark.parametrize("n", [1, 2, 9])
def test_constant_features(n: int) -> None:
    pairs = normalized_laplacian_eigenpairs(feature_affinity(np.ones((n, 4), np.float32)), k=5)
    assert np.isfinite(pairs.vectors).all()
    assert pairs.vectors.shape == (min(5, n), n)


def test_solvers_agree_and_rows_are_orthonormal() -> None:
    rng = np.random.default_rng(1)
    weights = feature_affinity(rng.normal(size=(450, 12)) + 0.5)
    dense = normalized_laplacian_eigenpairs(weights, k=8, solver="dense")
    degree = degrees(weights.astype(np.float64))
    for solver in ("iterative", "batched"):
        other = normalized_laplacian_eigenpairs(weights, k=8, solver=solver)
        np.testing.assert_allclose(other.values, dense.values, atol=1e-9)
        np.testing.assert_allclose((other.vectors * degree) @ other.vectors.T, np.eye(8), atol=1e-8)


@pytest.mark.skipif(not GOLDEN.exists(), reason="golden vectors are not beside the checkout")
def test_golden() -> None:
    golden = np.load(GOLDEN)
    for i in range(int(golden["num_images"])):
        weights = feature_affinity(golden[f"img{i}/F"])
        np.testing.assert_allclose(weights, golden[f"img{i}/W_feat"], atol=2e-6)
        values = golden[f"img{i}/laplacian_lambda0/eigenvalues"]
        pairs = normalized_laplacian_eigenpairs(weights, k=len(values))
        np.testing.assert_allclose(pairs.values, values, atol=1e-4)
