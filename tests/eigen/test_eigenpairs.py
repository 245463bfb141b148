import numpy as np
import pytest

from usseg.stages.eigen.graph import binary_affinity, feature_affinity, unit_rows
from usseg.stages.eigen.laplacian import degrees, normalized_laplacian_eigenpairs, plain_laplacian_eigenpairs
from usseg.stages.eigen.methods.affinity import affinity_eigenpairs
from usseg.stages.eigen.methods.svd import svd_eigenpairs
from usseg.stages.eigen.solvers import largest_dense

SOLVERS = ("dense", "iterative", "batched")


def blocks(sizes: list[int], across: float) -> np.ndarray:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.where(labels[:, None] == labels, 1.0, across)


@pytest.mark.parametrize("solver", SOLVERS)
def test_two_blocks(solver: str) -> None:
    pairs = normalized_laplacian_eigenpairs(blocks([2, 2], 0.1), k=4, solver=solver)
    np.testing.assert_allclose(pairs.values, [0, 0.1818182, 1, 1], atol=1e-6)
    assert not pairs.degenerate
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
    weights = feature_affinity(np.ones((n, 4), np.float32))
    for pairs in (normalized_laplacian_eigenpairs(weights, k=5), plain_laplacian_eigenpairs(weights, k=5)):
        assert np.isfinite(pairs.vectors).all()
        assert pairs.vectors.shape == (min(5, n), n)
        assert pairs.degenerate
    assert affinity_eigenpairs(weights, k=5).degenerate
    assert svd_eigenpairs(np.ones((n, 4)), k=5).degenerate


def test_solvers_agree_and_rows_are_orthonormal() -> None:
    rng = np.random.default_rng(1)
    weights = feature_affinity(rng.normal(size=(450, 12)) + 0.5)
    dense = normalized_laplacian_eigenpairs(weights, k=8, solver="dense")
    degree = degrees(weights.astype(np.float64))
    for solver in ("iterative", "batched"):
        other = normalized_laplacian_eigenpairs(weights, k=8, solver=solver)
        np.testing.assert_allclose(other.values, dense.values, atol=1e-9)
        np.testing.assert_allclose((other.vectors * degree) @ other.vectors.T, np.eye(8), atol=1e-8)


@pytest.mark.parametrize("threshold", [True, False])
@pytest.mark.parametrize("offset", ["none", "mean", "third"])
def test_affinity_in_blocks_of_rows_is_that_in_one(offset: str, threshold: bool) -> None:
    features = np.random.default_rng(2).normal(0.3, 1, (150, 9))
    rows = features / np.linalg.norm(features, axis=1, keepdims=True)
    gram = rows @ rows.T
    gram -= {"none": 0, "mean": gram.mean(), "third": gram.max() / 3}[offset]
    expected = (gram.clip(0) if threshold else gram) / gram.max()
    found = feature_affinity(features, offset=offset, threshold=threshold)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(found, found.T)


def test_mean_offset_splits_two_directions() -> None:
    weights = feature_affinity(np.repeat(np.eye(2), 2, axis=0), offset="mean")
    np.testing.assert_array_equal(weights, blocks([2, 2], 0.0))
    np.testing.assert_allclose(normalized_laplacian_eigenpairs(weights, k=4).values, [0, 0, 1, 1], atol=1e-12)


def test_binary_graph_of_two_directions() -> None:
    weights = binary_affinity(np.repeat(np.eye(2), [2, 4], axis=0), tau=0.2, eps=1e-5)
    np.testing.assert_allclose(degrees(weights.astype(np.float64)), [2.00004] * 2 + [4.00002] * 4, rtol=1e-6)
    pairs = normalized_laplacian_eigenpairs(weights, k=2)
    assert pairs.values[1] == pytest.approx(2.49996e-5, rel=1e-5)
    assert pairs.vectors[1][0] / pairs.vectors[1][2] == pytest.approx(-3.99994, abs=1e-4)


def test_rounding_is_no_structure() -> None:
    alike = np.tile(np.random.default_rng(0).normal(size=(1, 64)), (30, 1))
    assert not feature_affinity(alike, offset="mean").any()


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_token_without_edges_stays_out_of_the_null_space(solver: str) -> None:
    features = np.array([[0, 0], [1, 0], [1, 0.1], [0, 1], [0, 2.0]])
    weights = feature_affinity(features, offset="mean")
    pairs = normalized_laplacian_eigenpairs(weights, k=5, solver=solver)
    assert pairs.components == 2
    residual = weights @ pairs.vectors.T - degrees(weights)[:, None] * pairs.vectors.T * (1 - pairs.values)
    isolated = np.where(np.arange(5) == 0, pairs.vectors[:, 0][:, None], 0)  # its degree counts as 1
    np.testing.assert_allclose(residual, isolated.T * (pairs.values - 1), atol=1e-7)
    np.testing.assert_allclose(pairs.vectors[:2, 0], 0, atol=1e-12)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_nearly_disconnected_graph_is_orthonormal(solver: str) -> None:
    weights = blocks([30, 20, 25], 1e-13)
    pairs = normalized_laplacian_eigenpairs(weights, k=6, solver=solver)
    np.testing.assert_allclose((pairs.vectors * degrees(weights)) @ pairs.vectors.T, np.eye(6), atol=1e-8)
    np.testing.assert_allclose(pairs.vectors[0], pairs.vectors[0, 0])


def test_iterations_repeat_where_eigenvalues_do() -> None:
    for weights in (np.ones((60, 60)), blocks([20] * 4, 0.0)):
        first, second = (normalized_laplacian_eigenpairs(weights, k=7, solver="iterative") for _ in range(2))
        np.testing.assert_array_equal(first.vectors, second.vectors)


@pytest.mark.parametrize("solver", SOLVERS)
def test_plain_laplacian_of_two_blocks(solver: str) -> None:
    pairs = plain_laplacian_eigenpairs(blocks([2, 2], 0.1), k=4, solver=solver)
    np.testing.assert_allclose(pairs.values, [0, 0.4, 2.2, 2.2], atol=1e-12)
    np.testing.assert_allclose(np.abs(pairs.vectors[:2]), 0.5, atol=1e-12)


def test_affinity_and_singular_vectors_of_two_directions() -> None:
    features = np.repeat(np.eye(2), [2, 3], axis=0)
    pairs = affinity_eigenpairs(features @ features.T, k=2)
    np.testing.assert_allclose(pairs.values, [3, 2], atol=1e-12)
    assert not pairs.degenerate
    np.testing.assert_allclose(np.abs(pairs.vectors[0]), [0, 0] + [3**-0.5] * 3, atol=1e-12)
    np.testing.assert_allclose(svd_eigenpairs(features, k=2).values, np.sqrt([3, 2]), atol=1e-12)


def test_a_zero_row_stays_zero() -> None:
    np.testing.assert_array_equal(unit_rows(np.array([[0.0, 0], [3, 4]])), np.float32([[0, 0], [0.6, 0.8]]))


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="solver: found 'qr'"):
        normalized_laplacian_eigenpairs(np.eye(3), k=2, solver="qr")
    with pytest.raises(ValueError, match="offset: found 'median'; none, mean, third are allowed"):
        feature_affinity(np.eye(3), offset="median")


@pytest.mark.parametrize("n", range(16, 60, 3))
@pytest.mark.parametrize("k", [1, 5, 15])
def test_equal_eigenvalues_are_all_returned(n: int, k: int) -> None:
    # One more unit vector than there are, less their mean: all eigenvalues but one are 1. LAPACK loses some.
    centred = np.eye(n + 1)[:n] - np.eye(n + 1)[:n].mean(axis=0)
    matrix = centred @ centred.T
    values, vectors = largest_dense(matrix, k=k)
    np.testing.assert_allclose(values, [1] * k if k < n else [*[1] * (n - 1), 0], atol=1e-9)
    np.testing.assert_allclose(vectors @ matrix, values[:, None] * vectors, atol=1e-9)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(k), atol=1e-9)
