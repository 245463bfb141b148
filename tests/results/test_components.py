"""Connected components and shares of classes by runs, compared with plain computations by pixels."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from usseg.results.export.components import connected_components, runs_of
from usseg.results.export.format import Masks, Split
from usseg.results.export.source import Source

MAPS = {
    "one pixel": np.zeros((1, 1)),
    "one row": np.array([[1, 1, 0, 2, 2, 1]]),
    "one column": np.array([[1], [1], [0], [2]]),
    "diagonals": np.eye(5),
    "a spiral": np.array([[1, 1, 1, 1], [0, 0, 0, 1], [1, 1, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]]),
    "the end of a row and the next begin alike": np.array([[0, 0, 3], [3, 0, 0]]),
    "only background": np.zeros((3, 4)),
    "large classes": np.array([[65535, 0], [65535, 65534]]),
}


def by_pixels(classes: np.ndarray, background: bool) -> tuple[np.ndarray, list]:
    """OpenCV's components of each class."""
    numbers, components = np.zeros(classes.shape, np.int32), []
    for category in np.unique(classes).tolist():
        if category == 0 and not background:
            continue
        mask = classes == category
        count, pieces, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
        numbers[mask] = pieces[mask] + len(components)
        components += [(category, area, tuple(box)) for *box, area in stats[1:count].tolist()]
    return numbers, components


def check(classes: np.ndarray) -> None:
    for background in (False, True):
        numbers, components = connected_components(classes.astype(np.uint16), background=background)
        wanted, of_cv2 = by_pixels(classes, background)
        assert numbers.dtype == np.int32
        found = [(one.category, one.area, one.box) for one in components]
        assert sorted(found) == sorted(of_cv2)
        assert [one.category for one in components] == sorted(one.category for one in components)
        pairs = set(zip(numbers.reshape(-1).tolist(), wanted.reshape(-1).tolist(), strict=True))
        assert len(pairs) == len(np.unique(numbers)) == len(np.unique(wanted))
        for number, (category, area, _) in enumerate(found, start=1):
            assert (numbers == number).sum() == area
            assert (classes[numbers == number] == category).all()
        firsts = [int(np.flatnonzero(numbers == number + 1)[0]) for number in range(len(found))]
        assert all(a[0] < b[0] or x < y for a, b, x, y in zip(found, found[1:], firsts, firsts[1:], strict=False))


@pytest.mark.parametrize("name", MAPS)
def test_components_of_special_maps(name: str) -> None:
    check(MAPS[name].astype(int))


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("grain", [1, 2, 3])
def test_components_of_random_maps(seed: int, grain: int) -> None:
    rng = np.random.default_rng(seed)
    check(np.kron(rng.integers(0, 2 + seed % 3, rng.integers(1, 13, 2)), np.ones((grain, grain), int)))


def test_runs_end_with_their_row() -> None:
    starts, ends = runs_of(np.array([[1, 1, 2], [2, 2, 2]]))
    assert starts.tolist() == [0, 2, 3]
    assert ends.tolist() == [2, 3, 6]


@pytest.mark.parametrize("upsampling", ["align", "stretch"])
@pytest.mark.parametrize(("extent", "offset"), [((30, 40), (0, 0)), ((32, 45), (0, 0)), ((20, 24), (5, 8))])
def test_shares_are_those_of_the_margin_of_each_pixel(upsampling: str, extent, offset) -> None:
    """For a grid that covers the image, that goes beyond it, and that leaves out a border."""
    rng = np.random.default_rng(0)
    classes = np.kron(rng.integers(0, 4, (6, 8)), np.ones((5, 5), int)).astype(np.uint16)
    margin = rng.random((1, 14)).astype(np.float16)  # 3 x 4 patches, and padding
    grids = {
        "assign": {"margin": margin, "grid": np.array([[3, 4]])},
        "features": {"extent": np.array([extent]), "offset": np.array([offset])},
    }
    split = Split("val", Path(), Path(), ["a"], ["a.png"], [classes.shape], ("background", "a", "b", "c"))
    source = Source(split, None, None, None, 0, grids, upsampling)
    masks = Masks(0, "a", "a.png", classes, lambda: None)
    pixels, doubts = source.shares(0, masks)
    by_pixel = source.margin(0).astype(float)
    assert by_pixel.shape == classes.shape
    np.testing.assert_array_equal(pixels, [(classes == value).sum() for value in range(4)])
    np.testing.assert_allclose(doubts, [(1 - by_pixel[classes == value]).sum() for value in range(4)], atol=1e-9)
