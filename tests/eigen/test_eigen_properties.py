"""The eigenproblem on small arbitrary features: duplicates, zero rows and disconnected graphs included."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from usseg.stages.eigen.eigenpairs import Eigenpairs
from usseg.stages.eigen.graph import OFFSETS, binary_affinity, feature_affinity
from usseg.stages.eigen.laplacian import degrees, normalized_laplacian_eigenpairs, plain_laplacian_eigenpairs

GRAPHS = (*(partial(feature_affinity, offset=offset) for offset in OFFSETS), binary_affinity)
SOLVERS = ("dense", "iterative", "batched")
FEATURES = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 9), st.integers(1, 3)),
    elements=st.one_of(st.sampled_from([-1.0, 0.0, 1.0]), st.floats(-3, 3, width=16)),
)
small = settings(derandomize=True, deadline=None, max_examples=60)


def projector(pairs: Eigenpairs, degree: np.ndarray, count: int) -> np.ndarray:
    rows = pairs.vectors[:count] * np.sqrt(degree)
    return rows.T @ rows


@pytest.mark.parametrize("solver", SOLVERS)
@small
@given(FEATURES, st.sampled_from(GRAPHS), st.integers(1, 12))
def test_spectrum_and_orthonormality(
    solver: str, features: np.ndarray, graph: Callable[..., np.ndarray], k: int
) -> None:
    weights = graph(features).astype(np.float64)
    pairs = normalized_laplacian_eigenpairs(weights, k=k, solver=solver)
    count = min(k, len(features))
    assert pairs.vectors.shape == (count, len(features))
    assert pairs.values.min() >= 0
    assert pairs.values.max() <= 2
    assert (np.diff(pairs.values) >= 0).all()
    degree = degrees(weights)
    np.testing.assert_allclose((pairs.vectors * degree) @ pairs.vectors.T, np.eye(count), atol=1e-8)
    residual = (np.diag(degree) - weights) @ pairs.vectors.T - degree[:, None] * pairs.vectors.T * pairs.values
    np.testing.assert_allclose(residual, 0, atol=1e-7)


@small
@given(FEATURES, st.sampled_from(GRAPHS), st.randoms(use_true_random=False), st.sampled_from(SOLVERS))
def test_permuted_tokens_permute_the_eigenspaces(
    features: np.ndarray, graph: Callable[..., np.ndarray], random, solver: str
) -> None:
    n = len(features)
    order = np.array(random.sample(range(n), n))
    weights = graph(features).astype(np.float64)
    degree = degrees(weights)
    pairs = normalized_laplacian_eigenpairs(weights, k=n, solver=solver)
    shuffled = normalized_laplacian_eigenpairs(weights[np.ix_(order, order)], k=n, solver=solver)
    np.testing.assert_allclose(shuffled.values, pairs.values, atol=1e-9)
    assert shuffled.components == pairs.components
    for count in 1 + np.flatnonzero(np.diff(pairs.values) > 1e-3):
        expected = projector(pairs, degree, count)[np.ix_(order, order)]
        np.testing.assert_allclose(projector(shuffled, degree[order], count), expected, atol=1e-7)


@small
@given(FEATURES, st.randoms(use_true_random=False))
def test_permuted_features_permute_the_eigenspaces(features: np.ndarray, random) -> None:
    """The same from the features on, where sums in another order differ by float32 rounding."""
    n = len(features)
    order = np.array(random.sample(range(n), n))
    graphs = [feature_affinity(rows).astype(np.float64) for rows in (features, features[order])]
    pairs, shuffled = (normalized_laplacian_eigenpairs(weights, k=n) for weights in graphs)
    np.testing.assert_allclose(shuffled.values, pairs.values, atol=1e-5)
    for count in 1 + np.flatnonzero(np.diff(pairs.values) > 0.05):
        expected = projector(pairs, degrees(graphs[0]), count)[np.ix_(order, order)]
        np.testing.assert_allclose(projector(shuffled, degrees(graphs[1]), count), expected, atol=1e-4)


@small
@given(FEATURES, st.floats(1e-3, 1e3))
def test_scaled_weights_keep_the_eigenvalues(features: np.ndarray, scale: float) -> None:
    weights = feature_affinity(features).astype(np.float64)
    pairs = normalized_laplacian_eigenpairs(weights, k=4)
    np.testing.assert_allclose(normalized_laplacian_eigenpairs(scale * weights, k=4).values, pairs.values, atol=1e-9)


@pytest.mark.parametrize("solver", SOLVERS)
@small
@given(FEATURES, st.booleans(), st.integers(1, 12))
def test_plain_laplacian_is_finite_and_orthonormal(solver: str, features: np.ndarray, threshold: bool, k: int) -> None:
    weights = feature_affinity(features, threshold=threshold)
    pairs = plain_laplacian_eigenpairs(weights, k=k, solver=solver)
    np.testing.assert_allclose(pairs.vectors @ pairs.vectors.T, np.eye(min(k, len(features))), atol=1e-8)
    assert (np.diff(pairs.values) >= -1e-9).all()
