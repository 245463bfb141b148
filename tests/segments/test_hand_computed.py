"""Values of the specification (section 3.1) worked out by hand, and properties of the k-means search."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from usseg.stages.segments.background import background_first, border_label
from usseg.stages.segments.eigengap import eigengap_segments
from usseg.stages.segments.genetic_kmeans import kmeans_labels
from usseg.stages.segments.methods.fiedler import object_mask


def objective(points: np.ndarray, labels: np.ndarray) -> float:
    return sum(float(((points[labels == c] - points[labels == c].mean(axis=0)) ** 2).sum()) for c in np.unique(labels))


@pytest.mark.parametrize(
    ("eigenvalues", "segments"), [((0, 0.01, 0.02, 0.5, 0.51), 3), ((0, 0.6, 0.61, 0.7, 0.9), 4), ((0, 0.3), 2)]
)
def test_eigengap(eigenvalues: tuple[float, ...], segments: int) -> None:
    assert eigengap_segments(np.array(eigenvalues)) == segments


def test_border_counts() -> None:
    labels = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [2, 1, 1, 0]])
    assert border_label(labels) == 0
    np.testing.assert_array_equal(background_first(labels), labels)
    # 3 and 1 have the same share of the border: the smaller id is the background, and swaps with 0.
    np.testing.assert_array_equal(background_first(np.array([[3, 0, 1], [3, 2, 1]])), [[3, 1, 0], [3, 2, 0]])


def test_corners_count_twice() -> None:
    assert border_label(np.array([[2, 1, 1, 2], [3, 3, 3, 3], [2, 1, 1, 2]])) == 2


@pytest.mark.parametrize("seed", range(5))
def test_kmeans_finds_a_better_optimum_than_its_starts(seed: int) -> None:
    points = np.random.default_rng(0).normal(size=(300, 10))
    best = objective(points, kmeans_labels(points, k=6, seed=99, generations=60))
    found = objective(points, kmeans_labels(points, k=6, seed=seed))
    assert found <= 1.005 * best
    assert found < objective(points, kmeans_labels(points, k=6, seed=seed, generations=0))


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(1, 3)), elements=st.integers(-2, 2)),
    st.integers(1, 6),
    st.integers(1, 3),
)
def test_kmeans_labels_are_a_fixed_point(points: np.ndarray, k: int, n_init: int) -> None:
    labels = kmeans_labels(points, k=k, seed=0, n_init=n_init)
    assert labels.shape == (len(points),)
    assert 0 <= labels.min() <= labels.max() < max(k, len(np.unique(points, axis=0)))
    assert labels.max() < k
    centers = np.array([points[labels == c].mean(axis=0) for c in np.unique(labels)])
    distances = ((points[:, None] - centers) ** 2).sum(axis=2)
    own = distances[np.arange(len(points)), np.searchsorted(np.unique(labels), labels)]
    np.testing.assert_allclose(own, distances.min(axis=1), atol=1e-9)


def test_object_mask() -> None:
    np.testing.assert_array_equal(object_mask(np.array([-1.0, 0, 2])), [False, False, True])
    np.testing.assert_array_equal(object_mask(np.array([-1.0, 0, 2]), threshold=-0.5), [False, True, True])
    assert not object_mask(np.array([1.0, 2])).any()
