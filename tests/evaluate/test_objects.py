"""Scores of object masks and boxes: values of the specification (learned methods, 3.5 and 4) worked out by hand."""

import numpy as np
import pytest

from usseg.stages.evaluate.object_scores import (
    box_iou,
    central_crop,
    corloc,
    f_curve,
    mask_counts,
    object_box,
    object_scores,
)

A = np.array([[0.9, 0.6], [0.4, 0.1]]), np.array([[True, False], [True, False]])
B = np.array([[0.3, 0.2], [0.2, 0.2]]), np.array([[True, False], [False, False]])


def test_one_image() -> None:
    counts = mask_counts(*A)
    scores = object_scores([counts])
    assert (scores.accuracy, scores.iou) == (0.5, pytest.approx(1 / 3))
    curve = f_curve(counts)
    # Thresholds inside each band; the edges are multiples of 1 / 255.
    found = [curve[int(255 * t)] for t in (0.05, 0.25, 0.5, 0.75, 0.95)]
    np.testing.assert_allclose(found, [0.565217, 0.722222, 0.5, 0.8125, 0], atol=1e-6)
    assert scores.max_f == pytest.approx(0.8125)
    assert scores.max_f_selfmask == pytest.approx(0.923729, abs=1e-6)


def test_an_empty_prediction() -> None:
    curve = f_curve(mask_counts(*B))
    np.testing.assert_allclose([curve[10], curve[60], curve[100]], [0.302326, 1, 0], atol=1e-6)


def test_two_images() -> None:
    scores = object_scores([mask_counts(*A), mask_counts(*B)])
    assert scores.max_f == pytest.approx(0.861111, abs=1e-6)
    per_image = np.mean([f_curve(mask_counts(*pair)).max() for pair in (A, B)])
    assert per_image == pytest.approx(0.90625)
    # F at threshold 0, which the tricks code prints by default, is no score here.
    assert np.mean([f_curve(mask_counts(*pair))[0] for pair in (A, B)]) == pytest.approx(0.433771, abs=1e-6)
    assert scores.accuracy == 0.625
    assert scores.iou == pytest.approx(1 / 6)
    assert scores.dataset_iou == 0.25


def test_values_at_a_threshold_are_not_above_it() -> None:
    """Multiples of 1 / 255, as a stored soft mask has them, against the thresholds k / 255."""
    levels = np.arange(256, dtype=np.uint8)
    counts = mask_counts(levels / np.float32(255), np.ones(256, bool))
    np.testing.assert_array_equal(counts.predicted_T, 255 - np.arange(255))
    np.testing.assert_array_equal(counts.hits_T, counts.predicted_T)


def test_a_mask_beside_its_soft_values() -> None:
    soft, truth = A
    counts = mask_counts(soft, truth, mask=truth)
    assert (counts.correct, counts.both, counts.either) == (4, 2, 2)
    np.testing.assert_array_equal(counts.predicted_T, mask_counts(*A).predicted_T)
    with pytest.raises(ValueError, match="differ in shape"):
        mask_counts(soft, truth, mask=truth[0])


def test_the_crop_in_the_middle() -> None:
    columns = np.tile(np.arange(640, dtype=np.float32), (480, 1))
    found = central_crop(columns)
    assert found.shape == (320, 320)
    assert found.dtype == np.float32
    # 640 x 480 becomes 446 x 335, of which columns 63 to 382 are left.
    np.testing.assert_allclose(found[0, [0, -1]], (np.array([63, 382]) + 0.5) * 640 / 446 - 0.5, atol=0.02)
    assert (central_crop(np.ones((1, 1))) == 1).all()
    mask = np.zeros((300, 200), bool)
    mask[:, 100:] = True
    np.testing.assert_array_equal(
        central_crop(mask)[:, [0, 158, 161, -1]] > 0.5, np.tile([False, False, True, True], (320, 1))
    )


def test_inverted_and_perfect_predictions() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((8, 9)) < 0.3
    soft = rng.random((8, 9))
    plain, inverted = (object_scores([mask_counts(p, truth)]).accuracy for p in (soft, 1 - soft))
    assert plain + inverted == pytest.approx(1)
    perfect = object_scores([mask_counts(truth.astype(float), truth)])
    assert (perfect.accuracy, perfect.iou, perfect.dataset_iou) == (1, 1, 1)
    assert perfect.max_f == perfect.max_f_selfmask == pytest.approx(1)


def test_nothing_to_find() -> None:
    none = np.zeros((3, 3), bool)
    scores = object_scores([mask_counts(none.astype(float), none)])
    assert (scores.accuracy, scores.iou, scores.dataset_iou, scores.max_f) == (1, None, None, 1)
    both = object_scores([mask_counts(none.astype(float), none), mask_counts(*A)])
    assert both.iou == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="no image"):
        object_scores([])
    with pytest.raises(ValueError, match="differ in shape"):
        mask_counts(np.zeros(3), none)


def test_which_piece_is_the_object() -> None:
    mask = np.zeros((12, 20), bool)
    mask[0:10, 0] = mask[9, 0:10] = True  # an L of 19 pixels in a box of 10 x 10
    mask[2:7, 12:17] = True
    assert object_box(mask) == (0, 0, 10, 10)
    assert object_box(mask, pick="area") == (12, 2, 17, 7)
    assert object_box(np.eye(5, dtype=bool)) == (0, 0, 1, 1)  # five pieces by four neighbours
    assert object_box(np.zeros((4, 4), bool)) is None
    with pytest.raises(ValueError, match="box, area or area8"):
        object_box(mask, pick="best")


def test_the_piece_of_dsm() -> None:
    """8-connected, most pixels, the whole image where there is none."""
    mask = np.zeros((8, 20), np.bool_)
    mask[:5, :5] = np.eye(5)
    mask[6:8, 10:12] = True
    assert object_box(mask, pick="area8") == (0, 0, 5, 5)
    assert object_box(mask, pick="area") == (10, 6, 12, 8)
    assert object_box(np.zeros((8, 20), np.bool_), pick="area8") == (0, 0, 20, 8)
    assert object_box(np.zeros((8, 20), np.bool_), pick="area") is None
    with pytest.raises(ValueError, match="found 'area4'; box, area or area8 is allowed"):
        object_box(mask, pick="area4")


def test_boxes() -> None:
    assert box_iou((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert box_iou((0, 0, 10, 10), (0, 0, 10, 20)) == 0.5
    assert box_iou((0, 0, 1, 1), (5, 5, 6, 6)) == box_iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0


def test_corloc() -> None:
    found = [(0, 0, 10, 10), (0, 0, 10, 10), None, (0, 0, 1, 1)]
    truths = [[(50, 50, 60, 60), (0, 0, 10, 20)], [(5, 0, 15, 10)], [(0, 0, 5, 5)], []]
    assert corloc(found, truths) == pytest.approx(1 / 3)
    assert corloc([None], [[]]) is None
