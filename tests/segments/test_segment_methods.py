"""Requirements for every segments method of the table."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from usseg.stages.segmenter.method import FitTokens
from usseg.stages.segmenter.methods import acg
from usseg.stages.segments.method import ImageTokens
from usseg.stages.segments.methods import METHODS


def tokens(features: np.ndarray, *, k: int = 5, degenerate: bool = False) -> ImageTokens:
    """Tokens of a feature grid (row, column, channel) with the eigenpairs of their normalised Laplacian."""
    h, w, _ = features.shape
    rows = features.reshape(h * w, -1).astype(np.float64)
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
    weights = np.maximum(unit @ unit.T, 0)
    root = np.sqrt(np.maximum(weights.sum(axis=1), 1e-12))
    values, vectors = np.linalg.eigh(np.eye(h * w) - weights / root[:, None] / root)
    pairs = (vectors / root[:, None]).T[:k].astype(np.float32)
    rows = rows.astype(np.float32)
    labels = segmenter(rows.shape[1])(rows)
    return ImageTokens((h, w), rows, values[:k], pairs, degenerate, seed=3, trained_labels=labels)


@cache
def segmenter(channels: int) -> Callable[[np.ndarray], np.ndarray]:
    """What the model stage makes of images with two parts."""
    halves = np.zeros((48, channels), np.float32)
    halves[:24, 0], halves[24:, -1] = 1, 1
    read = FitTokens(np.full(4, 48), channels, lambda images: np.stack([halves] * len(images)))
    options = acg.Options(prototypes=2, updates=1, heads=1, epochs=60, lr=0.01, dropout=0)
    training = acg.fit(read, seed=0, options=options, device="cpu")
    return acg.segmenter(training.weights, channels=channels, options=options, device="cpu")


def two_parts(h: int = 6, w: int = 8) -> np.ndarray:
    """Left and right half that look different, a little noise."""
    rng = np.random.default_rng(0)
    base = np.where(np.arange(w)[None, :, None] < w // 2, [1.0, 0, 0.1, 0], [0, 1.0, 0, 0.1])
    return np.broadcast_to(base, (h, w, 4)) + rng.normal(0, 0.02, (h, w, 4))


@pytest.fixture(params=METHODS)
def method(request):
    return METHODS[request.param]


def options_of(method, num_segments: int | str = 3, **options):
    """The method's options, with a number of segments where it takes one."""
    taken = {"num_segments": num_segments} if "num_segments" in method.options.model_fields else {}
    return method.options(**taken, **options)


def check(labels: np.ndarray, grid: tuple[int, int]) -> None:
    assert labels.shape == grid
    assert labels.dtype == np.int64
    assert labels.min() >= 0


@pytest.mark.parametrize("num_segments", [1, 2, 3, 100, "eigengap"])
def test_labels_are_deterministic_and_bounded(method, num_segments: int | str) -> None:
    image, options = tokens(two_parts()), options_of(method, num_segments)
    labels = method.call(image, options)
    check(labels, (6, 8))
    np.testing.assert_array_equal(method.call(image, options), labels)
    assert len(np.unique(labels)) <= max(2, 5 if num_segments == "eigengap" else min(num_segments, 48))


def test_two_parts_are_found(method) -> None:
    labels = method.call(tokens(two_parts()), options_of(method, 2))
    left, right = np.unique(labels[:, :4]), np.unique(labels[:, 4:])
    assert len(left) == len(right) == 1
    assert left != right


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("num_segments", [1, 4, "eigengap"])
@pytest.mark.parametrize("grid", [(1, 1), (6, 8), (1, 9)])
def test_a_constant_image_is_one_segment(method, grid: tuple[int, int], num_segments: int | str) -> None:
    image = tokens(np.ones((*grid, 3)), degenerate=True)
    labels = method.call(image, options_of(method, num_segments))
    check(labels, grid)
    assert len(np.unique(labels)) == 1


def zero_rows(h: int = 6, w: int = 8) -> np.ndarray:
    """Two parts, with tokens of zeros in a corner."""
    features = two_parts(h, w)
    features[:2, :2] = 0
    return features


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "features",
    [
        zero_rows(),
        np.random.default_rng(0).normal(size=(6, 8, 5)),
        np.sign(two_parts() - 0.5),
        two_parts()[..., :1],
        1e12 * two_parts(),
        1e-12 * two_parts(),
        np.zeros((6, 8, 3)),
    ],
    ids=["zero rows", "random", "two tones", "one channel", "huge", "tiny", "zeros"],
)
def test_odd_features_have_bounded_labels(method, features: np.ndarray) -> None:
    image = tokens(features, degenerate=not features.any())
    labels = method.call(image, options_of(method))
    check(labels, (6, 8))
    assert len(np.unique(labels)) <= 48
    np.testing.assert_array_equal(method.call(image, options_of(method)), labels)


@pytest.mark.parametrize("grid", [(1, 2), (2, 1), (2, 2)])
def test_fewer_tokens_than_segments_or_eigenvectors(method, grid: tuple[int, int]) -> None:
    features = np.eye(grid[0] * grid[1]).reshape(*grid, -1) + 0.3
    check(method.call(tokens(features, k=15), options_of(method, 15)), grid)


def test_arrays_that_are_given_stay_as_they_are(method) -> None:
    image = tokens(two_parts())
    for array in (image.features, image.eigenvalues, image.eigenvectors, image.trained_labels):
        array.flags.writeable = False
    method.call(image, options_of(method))


@pytest.mark.parametrize(("option", "used"), [("segments", 2), (1, 1), ("all", 4), (None, 4)])
def test_spectral_reads_as_many_eigenvectors_as_it_is_told(option: str | int | None, used: int) -> None:
    spectral, image = METHODS["spectral"], tokens(two_parts())
    options = options_of(spectral, num_eigenvectors=option)
    found = spectral.call(image, options)
    unread = image.eigenvectors.copy()
    unread[1 + used :] = np.random.default_rng(1).normal(0, 1, unread[1 + used :].shape)
    np.testing.assert_array_equal(spectral.call(replace(image, eigenvectors=unread), options), found)
    unread[used] = np.random.default_rng(1).permutation(unread[used])
    assert (spectral.call(replace(image, eigenvectors=unread), options) != found).any()


def three_parts() -> np.ndarray:
    """Three areas that look different, with as much noise as makes further eigenvectors arbitrary."""
    areas = np.zeros((12, 16), np.int64)
    areas[:, 8:], areas[8:, :4] = 1, 2
    return np.eye(3)[areas] + np.random.default_rng(0).normal(0, 0.15, (12, 16, 3))


@pytest.mark.parametrize("option", [None, "segments"])
def test_segments_by_the_eigengap_come_from_as_many_eigenvectors(option: str | None) -> None:
    spectral, image = METHODS["spectral"], tokens(three_parts(), k=15)
    options = options_of(spectral, "eigengap", num_eigenvectors=option)
    labels = spectral.call(image, options)
    areas = three_parts().argmax(axis=2)
    assert len(np.unique(labels)) == 3
    assert all(len(np.unique(labels[areas == area])) == 1 for area in range(3))
    unread = image.eigenvectors.copy()
    unread[3:] = np.random.default_rng(1).normal(0, 1, unread[3:].shape)
    changed = replace(image, eigenvectors=unread)
    np.testing.assert_array_equal(spectral.call(changed, options), labels)
    everything = options_of(spectral, "eigengap", num_eigenvectors="all")
    assert (spectral.call(changed, everything) != spectral.call(image, everything)).any()


def test_one_segment_by_one_eigenvector() -> None:
    spectral = METHODS["spectral"]
    assert not spectral.call(tokens(two_parts()), options_of(spectral, 1, num_eigenvectors="segments")).any()
