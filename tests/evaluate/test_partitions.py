"""Scores of partitions: values worked out by hand, and the definitions over pairs of pixels."""

import numpy as np
import pytest

from usseg.stages.evaluate.partition_scores import (
    covering,
    partition_scores,
    rand_index,
    shared_pixels,
    variation_of_information,
)

HALVES, QUARTER = np.array([[0, 0], [1, 1]]), np.array([[0, 1], [1, 1]])


def frobenius_distance(table: np.ndarray) -> float:
    """SimSAM's metric of a graph against ground truth:

    ||C - C'||_F, C_ij = 1 where i and j share a label. No stage computes it.
    """
    squares = (table.sum(axis=0) ** 2).sum() + (table.sum(axis=1) ** 2).sum() - 2 * (table**2).sum()
    return float(np.sqrt(max(0.0, squares)))


def maps(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 4, (5, 6)), rng.integers(0, 3, (5, 6))


def test_by_hand() -> None:
    table = shared_pixels(QUARTER, HALVES)
    np.testing.assert_array_equal(table, [[1, 0], [1, 2]])
    assert frobenius_distance(table) == pytest.approx(np.sqrt(6))
    assert frobenius_distance(table) / 4 == pytest.approx(0.612372, abs=1e-6)
    assert rand_index(table) == pytest.approx(0.5)
    assert covering(table) == pytest.approx((2 / 2 + 2 * 2 / 3) / 4)
    assert variation_of_information(table) == pytest.approx(2 * 1.5 - 1 - 0.811278, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_against_pairs_of_pixels(seed: int) -> None:
    first, second = maps(seed)
    table = shared_pixels(first, second)
    joined = [part.reshape(-1, 1) == part.reshape(-1) for part in (first, second)]
    assert frobenius_distance(table) == pytest.approx(np.linalg.norm(joined[0].astype(float) - joined[1]))
    upper = np.triu_indices(30, 1)
    assert rand_index(table) == pytest.approx((joined[0] == joined[1])[upper].mean())
    best = [
        max(((first == a) & region).sum() / ((first == a) | region).sum() for a in np.unique(first))
        for region in (second == b for b in np.unique(second))
    ]
    assert covering(table) == pytest.approx(np.bincount(second.reshape(-1)) @ best / 30)


@pytest.mark.parametrize("seed", range(3))
def test_equal_partitions_and_other_names(seed: int) -> None:
    first, second = maps(seed)
    same = shared_pixels(first, 10 - first)
    assert (covering(same), rand_index(same), frobenius_distance(same)) == (1, 1, 0)
    assert variation_of_information(same) == pytest.approx(0, abs=1e-12)
    table, renamed = shared_pixels(first, second), shared_pixels(3 - first, second)
    assert covering(table) == pytest.approx(covering(renamed))
    for symmetric in (rand_index, variation_of_information, frobenius_distance):
        assert symmetric(table) == pytest.approx(symmetric(table.T))


def test_trivial_partitions() -> None:
    one, all_apart = np.zeros((2, 2), int), np.arange(4).reshape(2, 2)
    table = shared_pixels(all_apart, one)
    assert covering(table) == 0.25
    assert rand_index(table) == 0
    assert variation_of_information(table) == 2
    none = shared_pixels(np.full((2, 2), -1), one)
    assert (covering(none), rand_index(none), variation_of_information(none), frobenius_distance(none)) == (1, 1, 0, 0)


def test_means_over_people() -> None:
    scores = partition_scores(HALVES, [HALVES, np.zeros((2, 2), int)])
    assert scores == {"covering": 0.75, "pri": pytest.approx((1 + 2 / 6) / 2), "voi": 0.5}
    with pytest.raises(ValueError, match="no ground truth"):
        partition_scores(HALVES, [])
    with pytest.raises(ValueError, match="differ in shape"):
        partition_scores(HALVES, [np.zeros(4, int)])


def test_large_labels_and_gaps() -> None:
    first, second = maps(0)
    table = shared_pixels(first, second)
    for scale in (7, 10**7):
        np.testing.assert_array_equal(shared_pixels(first * scale, second), table)
        np.testing.assert_array_equal(shared_pixels(first.astype(np.int16), second * scale + scale), table)


def test_large_images_do_not_overflow() -> None:
    size = np.array([[3_000_000_000, 0], [0, 3_000_000_000]])
    assert rand_index(size) == 1
    assert frobenius_distance(size) == 0
