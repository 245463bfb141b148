"""Guided filter and bilateral solver: values worked out by hand."""

import numpy as np
import pytest

from usseg.stages.refine.method import LabelMap, Refined
from usseg.stages.refine.methods import guided_filter as guided_filter_method
from usseg.stages.refine.methods.bilateral_solver import bilateral_space, object_kept, solve
from usseg.stages.refine.methods.guided_filter import box_means, gray_guide, guided_filter


def test_an_impulse_under_a_constant_guide_is_averaged_twice() -> None:
    impulse = np.zeros((3, 3))
    impulse[1, 1] = 1
    found = guided_filter(impulse, np.full((3, 3), 0.5), radius=1)
    edge = 0.185185
    np.testing.assert_allclose(
        found, [[0.173611, edge, 0.173611], [edge, 0.197531, edge], [0.173611, edge, 0.173611]], atol=1e-6
    )
    mean = box_means((3, 3), radius=1)
    np.testing.assert_allclose(found, mean(mean(impulse)))


@pytest.mark.parametrize(("eps", "low"), [(0.25, 0.25), (1e-3, 0.001992)])
def test_a_mask_that_is_its_guide(eps: float, low: float) -> None:
    mask = np.array([[0.0, 0], [1, 1]])
    found = guided_filter(mask, mask, radius=5, eps=eps)
    np.testing.assert_allclose(found, [[low, low], [1 - low, 1 - low]], atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_filter_is_linear_and_keeps_constants(channels: int) -> None:
    rng = np.random.default_rng(0)
    mask, guide = rng.random((20, 31)), rng.random((20, 31, channels)).squeeze()
    found = guided_filter(mask, guide, radius=4)
    np.testing.assert_allclose(guided_filter(2 * mask + 3, guide, radius=4), 2 * found + 3, atol=1e-9)
    np.testing.assert_allclose(guided_filter(np.full((20, 31), 0.3), guide, radius=4), 0.3, atol=1e-12)
    np.testing.assert_allclose(guided_filter(mask[::-1], guide[::-1], radius=4), found[::-1], atol=1e-9)
    np.testing.assert_allclose(guided_filter(mask[:, ::-1], guide[:, ::-1], radius=4), found[:, ::-1], atol=1e-9)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("size", "radius"), [((1, 1), 2), ((1, 8), 3), ((7, 9), 2), ((6, 5), 9)])
def test_every_window_is_a_linear_fit(size: tuple[int, int], radius: int, channels: int) -> None:
    """He et al., equations 5, 6 and 14, window by window."""
    rng = np.random.default_rng(0)
    mask, guide = rng.random(size), rng.random((*size, channels))
    rows, columns = np.indices(size)
    near = np.maximum(
        np.abs(rows.reshape(-1, 1) - rows.reshape(-1)), np.abs(columns.reshape(-1, 1) - columns.reshape(-1))
    )
    windows, p, colors = near <= radius, mask.reshape(-1), guide.reshape(-1, channels)
    slopes, offsets = np.zeros(colors.shape), np.zeros(p.shape)
    for k, window in enumerate(windows):
        part = colors[window] - colors[window].mean(axis=0)
        spread = part.T @ part / window.sum() + 1e-2 * np.eye(channels)
        slopes[k] = np.linalg.solve(spread, part.T @ p[window] / window.sum())
        offsets[k] = p[window].mean() - slopes[k] @ colors[window].mean(axis=0)
    expected = [slopes[w].mean(axis=0) @ c + offsets[w].mean() for w, c in zip(windows, colors, strict=True)]
    shown = guide if channels == 3 else guide[..., 0]
    np.testing.assert_allclose(guided_filter(mask, shown, radius=radius, eps=1e-2).reshape(-1), expected, atol=1e-9)


def test_the_filter_overshoots_and_its_labels_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """The specification saw [-0.21, 1.17] on a noisy binary mask; what the labels are drawn from is cut."""
    rng = np.random.default_rng(0)
    image = np.repeat(rng.integers(0, 256, (60, 80, 1)), 3, axis=2).astype(np.uint8)
    noisy = (gray_guide(image) > 0.5) ^ (rng.random((60, 80)) < 0.1)
    soft = guided_filter(noisy.astype(float), gray_guide(image))
    assert soft.min() < -0.1
    assert soft.max() > 1.1
    seen = []
    monkeypatch.setattr(
        guided_filter_method,
        "strongest_label",
        lambda given, smooth: seen.append(smooth(given.mask(1))) or Refined(given.upsampled, given.upsampled),
    )
    given = LabelMap(noisy.astype(np.int16), noisy.shape, None, image)
    guided_filter_method.refine(given, guided_filter_method.Options())
    np.testing.assert_allclose(seen[0], np.clip(soft, 0, 1), atol=1e-12)


def test_a_gray_guide_of_three_channels_is_a_gray_guide() -> None:
    rng = np.random.default_rng(1)
    mask, gray = rng.random((15, 12)), rng.random((15, 12))
    three = guided_filter(mask, np.repeat(gray[..., None], 3, axis=2), radius=3, eps=3e-3)
    # The slopes of equal channels share a gray guide's slope; the sum of three variances meets eps once.
    np.testing.assert_allclose(three, guided_filter(mask, gray, radius=3, eps=1e-3), atol=1e-9)


def test_the_guide_is_the_plain_mean() -> None:
    assert gray_guide(np.array([[[255, 0, 0]]], np.uint8)) == pytest.approx(1 / 3)


def halves() -> tuple[np.ndarray, np.ndarray]:
    """Two flat colours, and the right one's mask."""
    right = np.tile(np.arange(40) >= 20, (30, 1))
    return np.where(right[..., None], [200, 60, 40], [30, 90, 180]).astype(np.uint8), right


def test_the_solver_keeps_constants() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    space = bilateral_space(image)
    np.testing.assert_allclose(solve(np.full(600, 0.7), space), 0.7, atol=1e-12)
    np.testing.assert_allclose(space.scale_V * (space.blur @ space.scale_V), space.mass_V)
    assert space.splat(np.ones(600)).sum() == 600


@pytest.mark.parametrize("cells", [{}, {"xy": 24, "luma": 4, "chroma": 4}], ids=["TokenCut", "tricks"])
def test_the_solver_removes_label_noise(cells: dict[str, float]) -> None:
    image, right = halves()
    noisy = right ^ (np.random.default_rng(0).random(right.shape) < 0.1)
    soft = solve(noisy.reshape(-1).astype(float), bilateral_space(image, **cells))
    np.testing.assert_array_equal(soft.reshape(right.shape) > 0.5, right)


def test_the_solver_solves_its_system() -> None:
    image = np.random.default_rng(0).integers(0, 256, (6, 7, 3)).astype(np.uint8)
    target = np.random.default_rng(1).random(42)
    space = bilateral_space(image, xy=4, luma=64, chroma=64)
    splat = np.eye(len(space.mass_V))[:, space.vertex_P]
    scale = np.diag(space.scale_V)
    matrix = 256 * (np.diag(space.mass_V) - scale @ space.blur.toarray() @ scale) + np.diag(splat @ np.full(42, 0.999))
    exact = np.linalg.solve(matrix, splat @ (0.999 * target))
    np.testing.assert_allclose(solve(target, space, iterations=500), splat.T @ exact, atol=1e-4)


def test_the_blur_reaches_ten_neighbours() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    space = bilateral_space(image, xy=2)
    blur = space.blur.toarray()
    np.testing.assert_array_equal(np.diag(blur), 10)
    # 2 x 3 cells of one colour: the corners have two neighbours, the others three.
    assert sorted((blur == 1).sum(axis=1)) == [2, 2, 2, 2, 3, 3]
    np.testing.assert_array_equal(blur, blur.T)


def test_cells_are_of_place_and_colour() -> None:
    # Pure colours: Y 76.2, 149.7, 29.1; U 85, 43.7, 255.5; V 255.5, 20.8, 107.3; gray: Y as it is, U = V = 128.
    colors = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [90, 90, 90], [100, 100, 100]]
    image = np.array([colors], np.uint8)

    def joined(**sides: float) -> int:
        return len(bilateral_space(image, **{"xy": 100, "luma": 1000, "chroma": 1000, **sides}).mass_V)

    assert joined() == 1
    assert joined(luma=60) == 3
    assert joined(luma=95) == 2
    assert joined(chroma=90) == 4  # (U, V) in cells of 90: (0, 2), (0, 0), (2, 1), and (1, 1) for either gray
    assert joined(xy=2) == 3
    # Yellow, gray and blue: V 148.7, 128 and 107.3, in one cell of 50; U 0.5, 128 and 255.5, ascending.
    row = np.array([[[255, 255, 0], [128, 128, 128], [0, 0, 255]]], np.uint8)
    assert bilateral_space(row, xy=100, luma=1000, chroma=50).vertex_P.tolist() == [0, 1, 2]
    # Green, blue, gray and red: V 20.8, 107.3, 128 and 255.5, in cells of 40.
    row = np.array([[[0, 255, 0], [0, 0, 255], [128, 128, 128], [255, 0, 0]]], np.uint8)
    assert bilateral_space(row, xy=100, luma=1000, chroma=40).vertex_P.tolist() == [0, 1, 2, 3]


def test_cells_beyond_255_a_side_do_not_meet() -> None:
    image = np.zeros((3, 600, 3), np.uint8)
    space = bilateral_space(image, xy=1)
    assert len(space.mass_V) == 1800
    # A row of cells ends at the image's border: 2 or 3 neighbours in a corner or edge of 3 x 600 cells, 4 inside.
    assert (space.blur.toarray() == 1).sum() == 2 * (3 * 599 + 2 * 600)


def test_an_object_is_not_lost() -> None:
    given = np.array([0, 0, 2, 2])
    assert object_kept(np.array([0, 2, 2, 2]), given, min_iou=0.5)
    assert not object_kept(np.array([0, 0, 0, 2]), given, min_iou=0.6)
    assert not object_kept(np.zeros(4, int), given, min_iou=0.5)
    assert object_kept(np.zeros(4, int), np.zeros(4, int), min_iou=0.5)
    assert object_kept(np.zeros(4, int), np.array([0, 1, 2, 2]), min_iou=0.5)


@pytest.mark.parametrize("guide", ["gray", "color"])
def test_tiles_change_no_label(monkeypatch: pytest.MonkeyPatch, guide: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 50, 3)).astype(np.uint8)
    labels = np.random.default_rng(1).integers(0, 4, (9, 5)).astype(np.int16)
    labels[6:] = 2  # some tiles have one label
    options = guided_filter_method.Options(radius=2, guide=guide)
    given = LabelMap(labels, (90, 50), None, image, masks_wanted=True)
    whole = guided_filter_method.refine(given, options)
    monkeypatch.setattr(guided_filter_method, "TILE", 16)
    assert len(list(guided_filter_method.tiles((90, 50), side=16, margin=4))) == 6 * 4
    tiled = guided_filter_method.refine(given, options)
    np.testing.assert_array_equal(tiled.labels, whole.labels)
    np.testing.assert_array_equal(tiled.foreground, whole.foreground)
    assert list(tiled.masks) == list(whole.masks) == [0, 1, 2, 3]
    for label, mask in whole.masks.items():
        np.testing.assert_allclose(tiled.masks[label], mask, atol=1e-6)
