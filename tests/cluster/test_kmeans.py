"""k-means of segment features (spec 5.2)."""

import numpy as np
import pytest

from usseg.stages.cluster.methods import kmeans
from usseg.stages.cluster.scaling import unit_rows


def rows(count: int = 80, channels: int = 5) -> np.ndarray:
    return unit_rows(np.random.default_rng(3).normal(size=(count, channels)).astype(np.float32))


def test_metrics_agree_where_centres_have_unit_length() -> None:
    """On unit vectors the squared distance is 2 - 2 cos."""
    points, centers = rows(), rows(7)
    labels, distances = kmeans.nearest(points, centers)
    cosines = points.astype(np.float64) @ centers.astype(np.float64).T
    np.testing.assert_array_equal(labels, cosines.argmax(axis=1))
    np.testing.assert_allclose(distances, 2 - 2 * cosines.max(axis=1), atol=1e-6)


def test_two_pairs() -> None:
    points = np.array([[0, 0], [0, 2], [10, 0], [10, 2]], np.float32)
    found = kmeans.fit(points, np.ones(4), k=2, seed=0, options=kmeans.Options())
    np.testing.assert_array_equal(sorted(found.centers.tolist()), [[0, 1], [10, 1]])
    assert found.history[-1] == pytest.approx(1)


def test_a_heavy_row_pulls_its_centre() -> None:
    points = np.array([[0, 0], [0, 2], [10, 0], [10, 2]], np.float32)
    areas = np.array([9.0, 1, 1, 1])
    found = kmeans.fit(points, areas, k=2, seed=0, options=kmeans.Options(area_weight=0.5))
    np.testing.assert_allclose(sorted(found.centers.tolist()), [[0, 0.5], [10, 1]])
    alike = kmeans.fit(points, areas, k=2, seed=0, options=kmeans.Options())
    np.testing.assert_allclose(sorted(alike.centers.tolist()), [[0, 1], [10, 1]])


def test_the_objective_never_rises() -> None:
    history = kmeans.fit(rows(), np.ones(80), k=6, seed=1, options=kmeans.Options(n_init=1)).history
    assert (np.diff(history) <= 1e-9).all()


def test_fewer_distinct_rows_than_clusters() -> None:
    points = np.repeat(rows(3), 4, axis=0)
    found = kmeans.fit(points, np.ones(12), k=8, seed=0, options=kmeans.Options())
    assert len(found.centers) == 3
    assert found.history[-1] == pytest.approx(0, abs=1e-6)
