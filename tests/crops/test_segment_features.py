"""Boxes, masks and pooling."""

import numpy as np
import pytest

from usseg.stages.crops.boxes import grown_mask, segment_boxes, tight_box
from usseg.stages.crops.pooling import pool_segments

MAPS = [np.random.default_rng(seed).integers(0, 4, (seed % 5 + 1, seed % 7 + 1)) for seed in range(12)]


@pytest.mark.parametrize("segments", MAPS)
@pytest.mark.parametrize(("erode", "dilate"), [(0, 0), (2, 0), (0, 5), (2, 5), (9, 9)])
def test_boxes_lie_on_the_grid_and_hold_their_masks(segments: np.ndarray, erode: int, dilate: int) -> None:
    ids, boxes, masks = segment_boxes(segments, erode=erode, dilate=dilate)
    np.testing.assert_array_equal(ids, [v for v in np.unique(segments) if v])
    assert boxes.dtype == np.int32
    for value, (x0, y0, x1, y1), mask in zip(ids, boxes.tolist(), masks, strict=True):
        assert 0 <= x0 < x1 <= segments.shape[1]
        assert 0 <= y0 < y1 <= segments.shape[0]
        assert mask.shape == (y1 - y0, x1 - x0)
        assert mask[0].any() and mask[-1].any() and mask[:, 0].any() and mask[:, -1].any()  # noqa: PT018
        if erode == 0:
            assert mask.sum() >= (segments == value).sum()
        if erode == dilate == 0:
            np.testing.assert_array_equal(mask, (segments == value)[y0:y1, x0:x1])


def test_no_foreground_gives_no_boxes() -> None:
    ids, boxes, masks = segment_boxes(np.zeros((3, 4), np.int64))
    assert ids.shape == (0,)
    assert boxes.shape == (0, 4)
    assert masks == []


def test_erosion_stops_before_the_mask_is_empty() -> None:
    mask = np.zeros((9, 9), bool)
    mask[3:6, 3:6] = True
    assert grown_mask(mask, erode=5, dilate=0).sum() == 1
    assert tight_box(grown_mask(mask, erode=5, dilate=2)) == (2, 2, 7, 7)
    whole = np.ones((4, 4), bool)
    assert grown_mask(whole, erode=3, dilate=0).all()  # the image's border is not eroded


def test_pooling_leaves_background_and_padding_out() -> None:
    features = np.array([[1, 10], [3, 10], [5, 20], [7, 40], [100, 100]], np.float32)
    segments = np.array([1, 1, 2, 0, -1])
    np.testing.assert_array_equal(pool_segments(features, segments, count=2), [[2, 10], [5, 20]])
    np.testing.assert_array_equal(pool_segments(features, segments, count=2, spread=True)[0], [2, 10, 1, 0])
    assert pool_segments(features, segments, count=0).shape == (0, 2)
    np.testing.assert_array_equal(pool_segments(features, segments, count=3)[2], [0, 0])


def test_pooling_in_half_precision_does_not_overflow() -> None:
    features = np.full((4000, 3), 60000, np.float16)
    found = pool_segments(features, np.ones(4000, np.int64), count=1, spread=True)
    np.testing.assert_array_equal(found, [[60000] * 3 + [0] * 3])
