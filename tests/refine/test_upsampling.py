"""Grid to image, and what every refinement method must do."""

import numpy as np
import pytest

from stages.refine.methods import METHODS
from stages.refine.upsampling import upsample_labels

GRID = np.array([[0, 1, 2], [3, 4, 5]], np.int16)


def test_every_token_covers_its_patch() -> None:
    found = upsample_labels(GRID, (16, 24), extent=(16, 24))
    np.testing.assert_array_equal(found, GRID.repeat(8, axis=0).repeat(8, axis=1))


def test_the_strip_beyond_the_grid_repeats_the_last_tokens() -> None:
    found = upsample_labels(GRID, (21, 30), extent=(16, 24))
    np.testing.assert_array_equal(found[:16, :24], GRID.repeat(8, axis=0).repeat(8, axis=1))
    np.testing.assert_array_equal(found[16:], np.repeat(found[15:16], 5, axis=0))
    np.testing.assert_array_equal(found[:, 24:], np.repeat(found[:, 23:24], 6, axis=1))


def test_stretching_moves_the_far_edges() -> None:
    stretched = upsample_labels(GRID, (16, 30), extent=None)
    np.testing.assert_array_equal(stretched[0], np.repeat([0, 1, 2], 10))


@pytest.mark.parametrize("grid", [(1, 1), (1, 5), (6, 8)])
@pytest.mark.parametrize("size", [(1, 1), (3, 50), (48, 64)])
@pytest.mark.parametrize("upsampling", ["align", "stretch"])
@pytest.mark.parametrize("name", METHODS)
def test_every_method(name: str, grid: tuple[int, int], size: tuple[int, int], upsampling: str) -> None:
    labels = np.arange(grid[0] * grid[1], dtype=np.int16).reshape(grid)
    extent = (max(1, size[0] - 1), max(1, size[1] - 2))
    found = METHODS[name](labels, size, extent, upsampling=upsampling)
    assert found.shape == size
    assert found.dtype == np.int16
    assert set(np.unique(found)) <= set(np.unique(labels))
    np.testing.assert_array_equal(METHODS[name](labels.copy(), size, extent, upsampling=upsampling), found)
    constant = METHODS[name](np.full(grid, 3, np.int16), size, extent, upsampling=upsampling)
    assert (constant == 3).all()
