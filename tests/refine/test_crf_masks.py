"""The CRF as PriMaPs and MaskCut use it."""

import numpy as np
import pytest

from usseg.pipeline.errors import ParamsError
from usseg.stages.refine.method import LabelMap
from usseg.stages.refine.methods import crf

STILL = {"bilateral_weight": 0.0, "gaussian_weight": 0.0, "floor": 0.3679}
IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)


def coarse(labels: np.ndarray) -> LabelMap:
    return LabelMap(labels.astype(np.int16), (48, 64), (48, 64), IMAGE)


def refined(given: LabelMap, **options) -> tuple[np.ndarray, np.ndarray]:
    """Labels and foreground."""
    found = crf.refine(given, crf.Options(**options))
    return found.labels, found.foreground


def test_evidence_is_interpolated_between_tokens() -> None:
    """Without kernels the beliefs are the softmax of interpolated logits: 0.5 just between two tokens."""
    labels = np.tile([0, 0, 2, 2], (3, 1))
    found, sure = refined(coarse(labels), **STILL, evidence="linear")
    np.testing.assert_array_equal(found, np.tile(np.where(np.arange(64) < 32, 0, 2), (48, 1)))
    share = np.clip((np.arange(64) + 0.5) / 16 - 1.5, 0, 1)
    expected = 255 / (1 + np.exp(1 - 2 * share))
    np.testing.assert_allclose(sure[0], expected, atol=1.1)
    nearest, sharp = refined(coarse(labels), **STILL)
    np.testing.assert_array_equal(nearest, found)
    assert len(np.unique(sharp)) == 2


def test_each_mask_is_filled_and_keeps_its_label() -> None:
    labels = np.zeros((6, 8), int)
    labels[1:5, 1:5] = 3
    labels[2, 2] = 0  # a hole
    labels[0:2, 6:8] = 7
    found, sure = refined(coarse(labels), **STILL, labels="each")
    labels[2, 2] = 3
    np.testing.assert_array_equal(found, labels.repeat(8, axis=0).repeat(8, axis=1))
    np.testing.assert_array_equal(sure > 128, found > 0)
    together, _ = refined(coarse(np.where(labels == 3, 3, 0)), **STILL)
    assert set(np.unique(together)) == {0, 3}


def test_of_two_masks_the_smaller_label_keeps_a_pixel() -> None:
    labels = np.zeros((6, 8), int)
    labels[0:5, 0:5] = 4
    labels[1:4, 1:4] = 1  # label 4 is a ring, filled
    found, _ = refined(coarse(labels), **STILL, labels="each", min_iou=0.5)
    np.testing.assert_array_equal(found, labels.repeat(8, axis=0).repeat(8, axis=1))


@pytest.mark.parametrize(("min_iou", "kept"), [(0.5, False), (0.4, True)])
def test_a_mask_that_changed_too_much_goes(min_iou: float, kept: bool) -> None:
    """A ring of 24 tokens around 25 others: filled it has 24 / 49 in common."""
    labels = np.zeros((8, 8), int)
    labels[0:7, 0:7] = 5
    labels[1:6, 1:6] = 0
    found, sure = refined(coarse(labels), **STILL, labels="each", min_iou=min_iou)
    assert (found[3, 3] == 5) == kept
    assert set(np.unique(found)) <= {0, 5}
    assert bool((sure > 128).any()) == kept


def test_a_small_wrong_mask_is_smoothed_away() -> None:
    image = np.full((48, 64, 3), 90, np.uint8)
    labels = np.zeros((48, 64), np.int16)
    labels[20, 30] = 1
    found, _ = refined(LabelMap(labels, (48, 64), None, image), floor=0.3679, labels="each")
    assert not found.any()


def test_each_needs_a_background(tiny_project) -> None:
    tiny_project.set({"refine.method": "crf", "refine.options": {"labels": "each"}, "segments.background": "none"})
    with pytest.raises(ParamsError, match=r"refine\.options\.labels: found 'each'; segments\.background: none leaves"):
        tiny_project.run("index")
