"""The permutohedral lattice and the mean field, by hand."""

import numpy as np
import pytest

from usseg.stages.refine.lattice import lattice_of
from usseg.stages.refine.method import LabelMap
from usseg.stages.refine.methods import crf
from usseg.stages.refine.methods.crf import dense_crf, softmax


def halves() -> tuple[np.ndarray, np.ndarray]:
    """Two flat colours, and the right one's mask."""
    right = np.tile(np.arange(40) >= 20, (30, 1))
    return np.where(right[..., None], [200, 60, 40], [30, 90, 180]).astype(np.uint8), right


@pytest.mark.parametrize(("points", "spread", "within"), [(1500, 1.0, 0.04), (1500, 3.0, 0.05)])
def test_the_lattice_filters_like_a_gaussian(points: int, spread: float, within: float) -> None:
    rng = np.random.default_rng(0)
    places = rng.uniform(0, spread, (points, 5))
    values = np.cos(places[:, :1] + places[:, 1:2]).astype(np.float32)
    lattice = lattice_of(places)
    np.testing.assert_allclose(lattice.weights.sum(axis=1), 1, atol=1e-6)
    assert lattice.weights.data.min() > -1e-6
    kernel = np.exp(-((places[:, None] - places) ** 2).sum(axis=2) / 2)
    exact = kernel @ values / kernel.sum(axis=1, keepdims=True)
    found = lattice.filter(values) / lattice.filter(np.ones_like(values))
    assert np.abs(found - exact).mean() < within


def test_a_grid_filters_like_a_gaussian() -> None:
    places = np.stack(np.divmod(np.arange(900), 30), axis=1) / 3
    values = np.random.default_rng(0).random((900, 2)).astype(np.float32)
    kernel = np.exp(-((places[:, None] - places) ** 2).sum(axis=2) / 2)
    lattice = lattice_of(places)
    exact, found = kernel @ values, lattice.filter(values)
    scale = (exact / found).mean()
    np.testing.assert_allclose(
        scale * found, exact, rtol=0.15
    )  # worst in the corners, whose lattice points have no neighbours


def test_points_too_far_apart_are_refused() -> None:
    with pytest.raises(ValueError, match="too many standard deviations; larger ones are needed"):
        lattice_of(np.array([[0.0] * 5, [1e6] * 5]))


def test_beliefs_that_are_equal_stay_equal() -> None:
    image = np.random.default_rng(0).integers(0, 256, (12, 9, 3)).astype(np.uint8)
    np.testing.assert_allclose(dense_crf(np.full((108, 4), 0.25), image), 0.25, atol=1e-6)


def test_beliefs_that_are_sure_stay() -> None:
    image, right = halves()
    sure = np.where(right.reshape(-1, 1) == [False, True], 1.0, 1e-15)
    np.testing.assert_allclose(dense_crf(sure, image), sure, atol=1e-3)


def test_without_kernels_nothing_changes() -> None:
    given = np.random.default_rng(0).dirichlet([1, 1, 1], 108)
    image = np.zeros((12, 9, 3), np.uint8)
    np.testing.assert_allclose(dense_crf(given, image, bilateral_weight=0, gaussian_weight=0), given, atol=1e-6)


@pytest.mark.parametrize(("labels", "share"), [(2, 0.7310586), (5, 0.4046), (10, 0.2320)])
def test_a_floor_of_one_over_e_is_the_softmax_of_a_map(labels: int, share: float) -> None:
    """What CutLER (two labels) and PriMaPs (background and K masks) give their CRF:

    e / (e + K) for the map's own label.
    """
    given = np.where(np.arange(12)[:, None] % labels == np.arange(labels), 1.0, np.exp(-1.0))
    found = dense_crf(given, np.zeros((3, 4, 3), np.uint8), bilateral_weight=0, gaussian_weight=0)
    np.testing.assert_allclose(found.max(axis=1), share, atol=5e-5)
    np.testing.assert_allclose(found.min(axis=1), (1 - share) / (labels - 1), atol=5e-5)


@pytest.mark.parametrize(("floor", "left"), [(1e-6, 9), (1e-5, 0)])
def test_a_one_hot_map_is_cut_at_the_floor(floor: float, left: int) -> None:
    """DSM's probabilities are 0 and 1, and log 0 is cut at 1e-5:

    11.5 against weights of at most 10 + 3, so that labels may move.
    """
    image, right = halves()
    labels = np.where(right, 4, 0).astype(np.int16)
    labels[3:6, 3:6] = 2  # wrong, in a flat half of 600 pixels
    options = crf.Options(floor=floor, bilateral_xy=80, bilateral_rgb=13, gaussian_weight=3, iterations=5)
    found = crf.refine(LabelMap(labels, labels.shape, None, image), options).labels
    assert (found == 2).sum() == left
    np.testing.assert_array_equal(found == 4, right)


def test_the_order_of_the_channels_does_not_matter_to_the_crf() -> None:
    """The originals hand BGR to it; one standard deviation holds for all three. The lattice is not quite isotropic."""
    image, right = halves()
    noisy = right ^ (np.random.default_rng(0).random(right.shape) < 0.2)
    given = np.where(noisy.reshape(-1, 1) == [False, True], 1.0, np.exp(-1.0))
    found, turned = (dense_crf(given, np.ascontiguousarray(pixels)) for pixels in (image, image[..., ::-1]))
    np.testing.assert_array_equal(found.argmax(axis=1), turned.argmax(axis=1))


def test_the_mean_field_is_that_of_the_exact_kernels() -> None:
    rng = np.random.default_rng(0)
    right = np.tile(np.arange(24) >= 12, (18, 1))
    image = np.clip(np.where(right[..., None], [160, 90, 70], [90, 120, 140]) + rng.normal(0, 8, (18, 24, 3)), 0, 255)
    image = image.astype(np.uint8)
    given = softmax((rng.normal(0, 1, (432, 2)) + np.where(right.reshape(-1, 1) == [0, 1], 0.6, 0)).astype(np.float32))
    rows, columns = np.divmod(np.arange(432), 24)
    place = np.stack([columns, rows], axis=1)
    mixed = np.zeros((432, 432))
    for weight, points in ((4.0, np.hstack([place / 8, image.reshape(-1, 3) / 13])), (1.0, place / 2.0)):
        kernel = np.exp(-((points[:, None] - points) ** 2).sum(axis=2) / 2)
        root = np.sqrt(kernel.sum(axis=1))
        mixed += weight * kernel / root[:, None] / root
    beliefs = given
    for _ in range(5):
        beliefs = softmax((np.log(given) + mixed @ beliefs).astype(np.float32))
    found = dense_crf(
        given, image, bilateral_weight=4, bilateral_xy=8, bilateral_rgb=13, gaussian_weight=1, gaussian_xy=2
    )
    assert (found.argmax(axis=1) == beliefs.argmax(axis=1)).mean() > 0.98
    assert np.abs(found - beliefs).mean() < 0.03
    before, after = ((v.argmax(axis=1) != right.reshape(-1)).mean() for v in (given, found))
    assert after < before / 3
