import numpy as np
import pytest

from usseg.stages.eigen.signs import component_indicators, fix_signs


@pytest.mark.parametrize(
    ("vector", "fixed"),
    [
        ([1, 1, -1], [-1, -1, 1]),
        ([-1, -1, 1], [-1, -1, 1]),
        ([1, -2, 1, -1], [-1, 2, -1, 1]),
        ([1, -1], [1, -1]),
        ([-1, -2], [1, 2]),
        ([2, 1, 0, 0], [2, 1, 0, 0]),
        ([1, 1e-12, 1e-12, -1e-12], [1, 1e-12, 1e-12, -1e-12]),
    ],
)
def test_minority_side_is_positive(vector: list[float], fixed: list[float]) -> None:
    np.testing.assert_array_equal(fix_signs(np.array([vector]), trivial_first=False), [fixed])


def test_the_trivial_row_is_positive() -> None:
    np.testing.assert_array_equal(fix_signs(np.array([[-1.0, -1], [-1, 1]])), [[1, 1], [1, -1]])


@pytest.mark.parametrize("k", [1, 2, 3, 9])
def test_indicators_span_the_components(k: int) -> None:
    labels, degrees = np.array([1, 1, -1, 0, 2, 0]), np.array([1.0, 2, 1, 3, 4, 5])
    rows = component_indicators(labels, degrees, k=k)
    assert rows.shape == (min(k, 3), 6)
    np.testing.assert_allclose((rows * degrees) @ rows.T, np.eye(len(rows)), atol=1e-12)
    assert not rows[:, 2].any()
    for component in range(3):
        assert np.ptp(rows[:, labels == component], axis=1).max() < 1e-12


def test_no_edges_no_null_space() -> None:
    assert component_indicators(np.array([-1, -1]), np.ones(2), k=2).shape == (0, 2)
