"""Grid to image."""

import numpy as np
import torch

from usseg.stages.grids.upsampling import upsample_labels, upsample_shares

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


def test_a_grid_beyond_the_image_is_cut() -> None:
    whole = GRID.repeat(8, axis=0).repeat(8, axis=1)
    np.testing.assert_array_equal(upsample_labels(GRID, (13, 17), extent=(16, 24)), whole[:13, :17])


def test_around_a_grid_in_the_middle_the_nearest_tokens_are_repeated() -> None:
    found = upsample_labels(GRID, (20, 40), extent=(16, 24), offset=(3, 10))
    whole = GRID.repeat(8, axis=0).repeat(8, axis=1)
    np.testing.assert_array_equal(found, np.pad(whole, ((3, 1), (10, 6)), mode="edge"))


def test_shares_are_interpolated_between_centres_as_torch_does() -> None:
    values = np.random.default_rng(0).random((3, 5)).astype(np.float32)
    expected = torch.nn.functional.interpolate(torch.from_numpy(values)[None, None], size=(24, 40), mode="bilinear")
    np.testing.assert_allclose(upsample_shares(values, (24, 40), extent=(24, 40)), expected[0, 0], atol=1e-6)
    found = upsample_shares(values, (30, 50), extent=(24, 40), offset=(2, 4))
    np.testing.assert_allclose(found, np.pad(expected[0, 0].numpy(), ((2, 4), (4, 6)), mode="edge"), atol=1e-6)
