"""Background, dense ids and small pieces."""

import numpy as np
import pytest
from scipy.ndimage import label

from usseg.stages.segments.background import background_first, border_label, dense_ids
from usseg.stages.segments.eigengap import eigengap_segments
from usseg.stages.segments.genetic_kmeans import kmeans_labels
from usseg.stages.segments.regions import merge_small


def random_maps() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, k, rng.integers(1, 9, 2)) for k in (1, 2, 3, 6) for _ in range(10)]


@pytest.mark.parametrize("labels", random_maps())
def test_background_first_swaps_two_labels(labels: np.ndarray) -> None:
    found = background_first(labels)
    assert border_label(found) == 0
    np.testing.assert_array_equal(found == 0, labels == border_label(labels))
    assert len(np.unique(found)) == len(np.unique(labels))
    untouched = (labels != 0) & (labels != border_label(labels))
    np.testing.assert_array_equal(found[untouched], labels[untouched])


@pytest.mark.parametrize("labels", random_maps())
@pytest.mark.parametrize("keep_zero", [True, False])
def test_ids_are_dense_and_ordered(labels: np.ndarray, keep_zero: bool) -> None:
    found = dense_ids(labels * 3, keep_zero=keep_zero)
    ids = np.unique(found)
    np.testing.assert_array_equal(ids[ids > 0], np.arange(1, found.max() + 1))
    assert (0 in ids) == (keep_zero and 0 in labels)
    np.testing.assert_array_equal(found[labels == labels.max()], found.max())


@pytest.mark.parametrize("labels", random_maps())
@pytest.mark.parametrize("min_tokens", [2, 5])
def test_no_piece_below_the_minimum_is_left(labels: np.ndarray, min_tokens: int) -> None:
    found = merge_small(labels, min_tokens=min_tokens)
    assert set(np.unique(found)) <= set(np.unique(labels))
    for value in np.unique(found):
        pieces, count = label(found == value)
        for piece in range(1, count + 1):
            area = (pieces == piece).sum()
            assert area >= min_tokens or area == labels.size


def test_a_small_piece_goes_to_its_longest_border() -> None:
    labels = np.array([[0, 0, 1, 1], [0, 2, 1, 1], [0, 0, 1, 1]])
    np.testing.assert_array_equal(merge_small(labels, min_tokens=2)[1], [0, 0, 1, 1])
    np.testing.assert_array_equal(merge_small(labels, min_tokens=1), labels)


@pytest.mark.parametrize("labels", random_maps())
@pytest.mark.parametrize("min_tokens", [2, 5, 9])
def test_merging_does_not_depend_on_the_numbers_of_labels(labels: np.ndarray, min_tokens: int) -> None:
    found = merge_small(labels, min_tokens=min_tokens)
    for seed in range(5):
        renumbered = np.random.default_rng(seed).permutation(labels.max() + 3)
        np.testing.assert_array_equal(merge_small(renumbered[labels], min_tokens=min_tokens), renumbered[found])


def test_the_smallest_piece_is_merged_first_and_borders_of_equal_length_go_to_the_larger_label() -> None:
    # The single 1 joins the 2s, which are then enough.
    np.testing.assert_array_equal(merge_small(np.array([[0, 0, 0, 2, 2, 1]]), min_tokens=3), [[0, 0, 0, 2, 2, 2]])
    # One edge each with 0 and 1; there are more 1s.
    np.testing.assert_array_equal(merge_small(np.array([[0, 0, 2, 1, 1, 1]]), min_tokens=2), [[0, 0, 1, 1, 1, 1]])
    # One edge each, as many tokens each: the first in row-major order.
    np.testing.assert_array_equal(merge_small(np.array([[7, 7, 9, 1, 1]]), min_tokens=2), [[7, 7, 7, 1, 1]])


def test_kmeans_on_few_distinct_points() -> None:
    points = np.repeat([[0.0, 0], [1, 0], [0, 1]], 4, axis=0)
    labels = kmeans_labels(points, k=7, seed=0)
    assert sorted(np.bincount(labels)) == [4, 4, 4]
    assert kmeans_labels(points[:1], k=7, seed=0).tolist() == [0]


def test_kmeans_is_seeded() -> None:
    points = np.random.default_rng(0).normal(size=(60, 4))
    first = kmeans_labels(points, k=6, seed=1)
    np.testing.assert_array_equal(kmeans_labels(points, k=6, seed=1), first)
    assert first.max() == 5


@pytest.mark.parametrize("count", [1, 2])
def test_the_eigengap_of_too_few_eigenvalues_is_two_segments(count: int) -> None:
    assert eigengap_segments(np.zeros(count)) == 2
