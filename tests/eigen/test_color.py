import numpy as np
import pytest

from usseg.stages.eigen.color import (
    NEIGHBOURS,
    compared_with_all,
    grid_image,
    knn_affinity,
    knn_affinity_on,
    random_walk_affinity,
    random_walk_affinity_on,
)


@pytest.mark.parametrize("shape", [(4, 5), (6, 9), (1, 30)])
def test_knn_counts(shape: tuple[int, int]) -> None:
    weights = knn_affinity(np.random.default_rng(0).random((*shape, 3))).toarray()
    np.testing.assert_array_equal(weights, weights.T)
    np.testing.assert_array_equal(np.diag(weights), 4)
    assert weights.sum() == 60 * len(weights)
    assert set(np.unique(weights)) <= {0, 1, 2, 3, 4}


@pytest.mark.parametrize("levels", [3, 1000])
def test_knn_is_the_count_of_relations(levels: int) -> None:
    image = np.random.default_rng(levels).integers(levels, size=(7, 9, 3)) / levels
    y, x = np.mgrid[0:1:7j, 0:1:9j].reshape(2, -1)
    expected = np.zeros((63, 63))
    for k, weight in NEIGHBOURS:
        points = np.column_stack([image.reshape(-1, 3), weight * x, weight * y]).astype(np.float32)
        for own, neighbours in enumerate(compared_with_all(points, points, k)):
            expected[own, neighbours] += 1
            expected[neighbours, own] += 1
    np.testing.assert_array_equal(knn_affinity(image).toarray(), expected)


@pytest.mark.parametrize("shape", [(2, 3), (9, 13)])
@pytest.mark.parametrize("levels", [1, 3, 1000])
def test_colours_by_torch(levels: int, shape: tuple[int, int]) -> None:
    """Few levels: most distances are tied."""
    image = np.random.default_rng(levels).integers(levels, size=(*shape, 3)) / levels
    np.testing.assert_array_equal(knn_affinity_on("cpu", image).numpy(), knn_affinity(image).toarray())
    found, expected = random_walk_affinity_on("cpu", image).numpy(), random_walk_affinity(image).toarray()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_knn_with_fewer_pixels_than_neighbours() -> None:
    np.testing.assert_array_equal(knn_affinity(np.zeros((2, 3, 3))).toarray(), 4)
    # One round has 12 neighbours of 12 pixels, the other 10.
    assert knn_affinity(np.random.default_rng(0).random((3, 4, 3))).sum() == 2 * 12 * (12 + 10)


def test_of_equally_far_pixels_the_first_is_nearer() -> None:
    # Colour differs so much that position hardly counts: 21 black pixels, 10 neighbours among equals.
    image = np.zeros((1, 21, 3))
    weights = knn_affinity(image).toarray()
    assert weights[10, 0] + weights[10, 20] > 0
    assert weights[10, 0] >= weights[10, 20]


def test_random_walk_hand_values() -> None:
    image = np.zeros((2, 2, 3))
    image[1, 1] = 0.02
    far = np.exp(-900 * 3 * 0.02**2)
    weights = random_walk_affinity(image).toarray()
    # A corner of a 2 x 2 image: 4 of its 9 neighbours are itself, 2 each of the two beside it, 1 across.
    np.testing.assert_allclose(weights[0], [4, 2, 2, far])
    np.testing.assert_allclose(weights[3], [far, 2 * far, 2 * far, 4])
    np.testing.assert_array_equal(weights, weights.T)


def test_grid_image_covers_the_extent() -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    image[:16, :16] = 255
    np.testing.assert_array_equal(grid_image(image, (2, 2), extent=(16, 16)), 1)
    assert grid_image(image, (2, 2)).min() < 0.7


def test_grid_image_of_a_grid_beyond_the_image_and_of_one_in_the_middle() -> None:
    image = np.arange(12 * 10 * 3, dtype=np.uint8).reshape(12, 10, 3)
    padded = np.pad(image, ((0, 4), (0, 6), (0, 0)), mode="edge")
    np.testing.assert_array_equal(grid_image(image, (2, 2), extent=(16, 16)), grid_image(padded, (2, 2)))
    middle = grid_image(image, (2, 2), extent=(8, 8), offset=(2, 1))
    np.testing.assert_array_equal(middle, grid_image(image[2:10, 1:9], (2, 2)))
