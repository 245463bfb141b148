"""The margin between the two nearest centres: by hand, against plain NumPy, and for degenerate rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from usseg.stages.cluster import margin as module
from usseg.stages.cluster.margin import margins
from usseg.stages.cluster.method import Clustering
from usseg.stages.cluster.methods import METHODS
from usseg.stages.cluster.methods.kmeans import Options

QUICK = {"abc": {"epochs": 4, "hidden": 16}, "primaps_em": {"init_epochs": 1, "epochs": 9, "batch": 2}}


def plain(points: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """The margins row by row, float64."""
    found = []
    for point in points.astype(np.float64):
        distances = sorted(float(np.sqrt(((point - center) ** 2).sum())) for center in centers.astype(np.float64))
        if len(distances) == 1:
            found.append(1.0)
        else:
            found.append((distances[1] - distances[0]) / distances[1] if distances[1] else 0.0)
    return np.array(found)


def test_margins_by_hand() -> None:
    centers = np.array([[0, 0], [4, 0], [0, 100]], np.float32)
    points = np.array([[0, 0], [1, 0], [2, 0], [3, 0], [-4, 0], [2, 7], [0, 100]], np.float32)
    # The distances to the two nearest centres: 0 and 4, 1 and 3, 2 and 2, 1 and 3, 4 and 8, two equal ones, 0 and 100.
    expected = np.array([1, 2 / 3, 0, 2 / 3, 1 / 2, 0, 1], np.float16)
    found = margins(points, centers)
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, expected)


def test_margins_by_cosine_by_hand() -> None:
    """Centres at 0 and 90 degrees; a vector at angle a is 2 sin(a / 2) from the first one."""
    clustering = Clustering(np.eye(2, dtype=np.float32), np.zeros(1))
    degrees = np.array([0, 30, 45, 90, 180])
    rows = 7 * np.column_stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))]).astype(np.float32)
    chord = {angle: 2 * np.sin(np.radians(angle) / 2) for angle in (30, 60, 90, 180)}
    expected = [1, 1 - chord[30] / chord[60], 0, 1, 1 - chord[90] / chord[180]]
    for method, options in (("kmeans", Options(metric="cosine")), ("ot", METHODS["ot"].options())):
        found = margins(*METHODS[method].points(clustering, rows, options))
        np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(
    ("points", "centers", "expected"),
    [
        (np.zeros((0, 3)), np.ones((2, 3)), []),
        (np.ones((2, 3)), np.zeros((1, 3)), [1, 1]),
        (np.zeros((2, 3)), np.zeros((3, 3)), [0, 0]),
        (np.ones((2, 3)), np.zeros((2, 3)), [0, 0]),
        (np.full((1, 2), 1e18), [[1e18, 1e18], [-1e18, 1e18]], [1]),
        (np.full((1, 2), 1e-30), [[1e-30, 1e-30], [0, 0]], [1]),
        (np.full((1, 2), 1e-45), [[0, 0], [1e-45, 0]], [1 - 2**-0.5]),
        (np.full((1, 1), 0.0), [[3e38], [-3e38]], [0]),
    ],
    ids=["no row", "one centre", "all alike", "equal centres", "huge", "tiny", "subnormal", "the largest numbers"],
)
def test_degenerate_margins(points, centers, expected) -> None:
    found = margins(np.asarray(points, np.float32), np.asarray(centers, np.float32))
    np.testing.assert_array_equal(found, np.array(expected, np.float16))


def test_far_from_the_origin_no_digits_are_lost() -> None:
    centers = np.array([[4096, 0], [4096, 1]], np.float32)
    points = np.array([[4096, 0.25], [4096, 0.5], [4096, 1]], np.float32)
    np.testing.assert_array_equal(margins(points, centers), np.array([2 / 3, 0, 1], np.float16))


values = st.floats(-4, 4, width=32)


@given(
    arrays.arrays(np.float32, st.tuples(st.integers(0, 7), st.just(2)), elements=values),
    arrays.arrays(np.float32, st.tuples(st.integers(1, 5), st.just(2)), elements=values),
)
def test_margins_are_those_of_plain_numpy(points: np.ndarray, centers: np.ndarray) -> None:
    found = margins(points, centers)
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(found, plain(points, centers), atol=5e-4)


@pytest.mark.parametrize("numbers", [1, 40, 1 << 21])
def test_margins_do_not_depend_on_the_blocks(numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NUMBERS", numbers)
    rng = np.random.default_rng(0)
    points, centers = rng.normal(size=(30, 5)).astype(np.float32), rng.normal(size=(6, 5)).astype(np.float32)
    found = margins(points, centers)
    np.testing.assert_array_equal(found, plain(points, centers).astype(np.float16))
    order = rng.permutation(30)
    np.testing.assert_array_equal(margins(points[order], centers), found[order])


@pytest.mark.parametrize("name", METHODS)
def test_the_nearest_point_is_the_predicted_cluster(name: str, besides) -> None:
    """For every method; also of rows that are alike, and of no rows."""
    rng, method = np.random.default_rng(0), METHODS[name]
    rows = (np.eye(3, 6)[np.arange(60) % 3] + rng.normal(0, 0.2, (60, 6))).astype(np.float32)
    rows[:4] = 0
    options = method.options(**QUICK.get(name, {}))
    clustering = method.call(rows, np.ones(60), k=3, seed=0, options=options, **besides(method, rows))
    points, centers = method.points(clustering, rows, options)
    assert points.dtype == centers.dtype == np.float32
    assert len(points) == len(rows)
    assert len(centers) == len(clustering.centers)
    assert points.shape[1] == centers.shape[1]
    distances = np.sqrt(((points[:, None].astype(np.float64) - centers) ** 2).sum(axis=2))
    own = distances[np.arange(60), method.predict(clustering, rows, options)]
    np.testing.assert_allclose(own, distances.min(axis=1), atol=1e-5)
    assert margins(*method.points(clustering, rows[:0], options)).shape == (0,)
