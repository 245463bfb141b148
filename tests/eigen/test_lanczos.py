"""The float32 solver compared with LAPACK in float64, on graphs of images and on graphs that need the dense solver."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from usseg.stages.eigen import laplacian
from usseg.stages.eigen.color import compared_with_all, knn_affinity, nearest_points, with_color
from usseg.stages.eigen.graph import binary_affinity, feature_affinity
from usseg.stages.eigen.laplacian import by_lanczos, normalized_laplacian_eigenpairs

GRID, K = (18, 25), 12


def scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of a grid of smooth regions, (token, channel), and its colours."""
    rng = np.random.default_rng(seed)
    fields = np.array([gaussian_filter(rng.standard_normal(GRID), 3) for _ in range(8)])
    regions = fields.argmax(axis=0).reshape(-1)
    features = rng.normal(0.5, 1, (8, 64))[regions] + fields.reshape(8, -1).T @ rng.normal(0, 6, (8, 64))
    colors = rng.random((8, 3))[regions] + rng.normal(0, 0.03, (len(regions), 3))
    return (features + rng.normal(0, 0.7, features.shape)).astype(np.float32), colors.reshape(*GRID, 3)


def graph(seed: int, kind: str) -> np.ndarray:
    features, colors = scene(seed)
    if kind == "color":
        return with_color(feature_affinity(features), knn_affinity(colors), weight=10.0)
    if kind == "signed":
        return feature_affinity(features + 1, threshold=False)
    return binary_affinity(features) if kind == "binary" else feature_affinity(features, offset=kind)


@pytest.mark.parametrize("kind", ["none", "mean", "third", "binary", "color", "signed"])
@pytest.mark.parametrize("seed", range(3))
def test_as_exact_as_asked(kind: str, seed: int) -> None:
    weights = graph(seed, kind)
    found = by_lanczos(weights, k=K)
    assert found is not None
    more = normalized_laplacian_eigenpairs(weights, k=K + 1, solver="dense")
    np.testing.assert_allclose(found.values, more.values[:K], atol=1e-5 if kind == "binary" else 1e-6)
    degree = weights.astype(np.float64).sum(axis=1)
    ours, theirs = found.vectors * np.sqrt(degree), more.vectors[:K] * np.sqrt(degree)
    np.testing.assert_allclose(ours @ ours.T, np.eye(K), atol=1e-6)
    gap = more.values[K] - more.values[K - 1]
    angle = np.linalg.norm(ours - ours @ theirs.T @ theirs, 2)
    assert angle < max(1e-4, 2e-6 / gap)
    clear = np.minimum(np.diff(more.values), np.diff(more.values, prepend=-1)[:K]) > 0.01
    signs = (ours * theirs).sum(axis=1)[clear]
    np.testing.assert_allclose(signs, 1, atol=1e-4)


@pytest.mark.parametrize("tones", [1, 2, 3, 7])
def test_few_distinct_tokens_and_equal_eigenvalues(tones: int) -> None:
    features = np.eye(tones)[np.arange(420) % tones] + 0.3
    weights = feature_affinity(features)
    found = by_lanczos(weights, k=10)
    expected = normalized_laplacian_eigenpairs(weights, k=10, solver="dense").values
    if found is not None:  # one tone: nothing to iterate on
        np.testing.assert_allclose(found.values, expected, atol=1e-6)
    whole = normalized_laplacian_eigenpairs(weights, k=10, solver="lanczos")
    np.testing.assert_allclose(whole.values, expected, atol=1e-6)
    assert (whole.values[1] > 1 - 1e-6) == (tones == 1)


def two_parts(across: float) -> np.ndarray:
    weights = np.full((400, 400), across, np.float32)
    weights[:150, :150] = weights[150:, 150:] = 1
    return weights


def isolated() -> np.ndarray:
    weights = graph(0, "none")
    weights[7], weights[:, 7] = 0, 0
    return weights


@pytest.mark.parametrize("weights", [two_parts(0), two_parts(1e-9), isolated(), np.zeros((300, 300), np.float32)])
@pytest.mark.parametrize("k", [1, 5])
def test_other_graphs_are_handed_on(weights: np.ndarray, k: int) -> None:
    assert by_lanczos(weights, k=k) is None
    found = normalized_laplacian_eigenpairs(weights, k=k, solver="lanczos")
    expected = normalized_laplacian_eigenpairs(weights, k=k, solver="dense")
    np.testing.assert_allclose(found.values, expected.values, atol=1e-8)
    assert found.components == expected.components


def test_what_does_not_settle_is_handed_on(monkeypatch) -> None:
    monkeypatch.setattr(laplacian.lanczos, "MOST_STEPS", 30)
    weights = graph(0, "color")
    assert by_lanczos(weights, k=K) is None
    values = normalized_laplacian_eigenpairs(weights, k=K, solver="lanczos").values
    np.testing.assert_allclose(values, normalized_laplacian_eigenpairs(weights, k=K, solver="dense").values, atol=1e-9)


def test_again_the_same_bits() -> None:
    weights = graph(1, "none")
    first, second = (normalized_laplacian_eigenpairs(weights.copy(), k=K, solver="auto") for _ in range(2))
    np.testing.assert_array_equal(first.vectors, second.vectors)
    np.testing.assert_array_equal(first.values, second.values)


@pytest.mark.parametrize("levels", [1, 4, 1000])
@pytest.mark.parametrize("k", [1, 10, 20])
def test_neighbours_by_tree_are_those_of_all_comparisons(levels: int, k: int) -> None:
    """Few levels: most distances are tied."""
    rng = np.random.default_rng(levels)
    y, x = np.mgrid[0:1:15j, 0:1:20j].reshape(2, -1)
    color = rng.integers(levels, size=(300, 3)) / levels
    points = np.column_stack([color, 2 * x, 2 * y]).astype(np.float32)
    np.testing.assert_array_equal(np.sort(nearest_points(points, k), axis=1), compared_with_all(points, points, k))
