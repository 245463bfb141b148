"""Values of the specification (learned methods 6.5, spectral methods 3.8) worked out by hand, and invariances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from usseg.stages.evaluate.confusion_scores import ConfusionScores, confusion_scores
from usseg.stages.evaluate.matching import (
    confusion_matrix,
    drop_surplus,
    hungarian,
    iou_matrix,
    majority,
    many_to_one,
    match,
)

SURPLUS = np.array([[8, 1], [2, 6], [5, 0]])
tables = st.tuples(st.integers(1, 6), st.integers(1, 4)).flatmap(
    lambda shape: hnp.arrays(np.int64, shape, elements=st.integers(0, 30))
)
quick = settings(derandomize=True, deadline=None, max_examples=80)


def close(found: ConfusionScores, *, accuracy: float, miou: float, iou: list[float] | None = None) -> None:
    assert found.accuracy == pytest.approx(accuracy, abs=1e-6)
    assert found.miou == pytest.approx(miou, abs=1e-6)
    if iou is not None:
        np.testing.assert_allclose(found.iou, iou, atol=1e-6)


def test_one_to_one() -> None:
    table = np.array([[10, 9, 0], [9, 1, 0], [0, 2, 8]])
    matching = hungarian(table)
    np.testing.assert_array_equal(matching, [1, 0, 2])
    close(confusion_scores(table, matching), accuracy=26 / 39, miou=0.553030, iou=[0.45, 0.409091, 0.8])


@pytest.mark.parametrize(
    ("by", "matching", "accuracy", "miou"),
    [("count", [0, 1], 0.512821, 0.256410), ("iou", [1, 0], 0.487179, 0.321839)],
)
def test_counts_and_iou_match_differently(by: str, matching: list[int], accuracy: float, miou: float) -> None:
    table = np.array([[100, 45], [50, 0]])
    np.testing.assert_allclose(iou_matrix(table), [[0.512821, 0.310345], [0.333333, 0]], atol=1e-6)
    found = hungarian(table, by=by)
    np.testing.assert_array_equal(found, matching)
    close(confusion_scores(table, found), accuracy=accuracy, miou=miou)


def test_more_clusters_than_classes() -> None:
    strict = hungarian(SURPLUS)
    np.testing.assert_array_equal(strict, [0, 1, -1])
    close(confusion_scores(SURPLUS, strict), accuracy=14 / 22, miou=0.583333, iou=[0.5, 0.666667])
    assert confusion_scores(SURPLUS, strict, extra_row=True).miou == pytest.approx(0.388889, abs=1e-6)
    dropped = drop_surplus(SURPLUS)
    close(confusion_scores(dropped, hungarian(dropped), extra_row=True), accuracy=0.823529, miou=0.696970)
    np.testing.assert_array_equal(match(SURPLUS, surplus="dropped"), [0, 1, -1])
    merged = many_to_one(SURPLUS)
    np.testing.assert_array_equal(merged, [0, 1, 0])
    close(confusion_scores(SURPLUS, merged), accuracy=0.863636, miou=0.739583, iou=[0.8125, 0.666667])


def test_fewer_clusters_than_classes() -> None:
    table = np.array([[4, 0, 1]])
    close(confusion_scores(table, hungarian(table)), accuracy=0.8, miou=0.4, iou=[0.8, np.nan, 0])


@pytest.mark.parametrize(("absent", "miou"), [("drop", 1.0), ("zero", 2 / 3)])
def test_a_class_with_neither_truth_nor_prediction(absent: str, miou: float) -> None:
    table = np.diag([3, 4, 0])
    assert confusion_scores(table, hungarian(table), absent=absent).miou == pytest.approx(miou)


def test_majority_lets_clusters_share_a_class() -> None:
    # IoU [[.5, .4], [.45, .05]] of the spec, up to a common scale, cannot be had from counts; the rule can.
    table = np.array([[100, 45], [50, 0]])
    np.testing.assert_array_equal(majority(table), [0, 0])
    np.testing.assert_array_equal(hungarian(table, by="iou"), [1, 0])


def test_ignored_pixels_and_swapped_labels() -> None:
    table = confusion_matrix(np.array([1, 1, 0, 0, 0]), np.array([0, 0, 1, 1, 255]), num_clusters=2, num_classes=2)
    np.testing.assert_array_equal(table, [[0, 2], [2, 0]])
    for by in ("count", "iou"):
        assert confusion_scores(table, hungarian(table, by=by), absent="zero").miou == 1


def test_a_constant_prediction_scores_one_class_of_21() -> None:
    targets = np.repeat([0, 5, 7], [60, 20, 20])
    table = confusion_matrix(np.zeros(100, int), targets, num_clusters=21, num_classes=21)
    assert confusion_scores(table, hungarian(table, by="iou"), absent="zero").miou == pytest.approx(0.6 / 21)


def test_predictions_outside_the_table_are_refused() -> None:
    with pytest.raises(ValueError, match="0 to 1 is allowed"):
        confusion_matrix(np.array([2]), np.array([0]), num_clusters=2, num_classes=2)


@quick
@given(tables, st.randoms(use_true_random=False))
@pytest.mark.parametrize(("by", "surplus"), [("count", "strict"), ("iou", "strict"), ("iou", "majority")])
def test_relabelling_changes_no_score(by: str, surplus: str, table: np.ndarray, random) -> None:
    order = np.array(random.sample(range(len(table)), len(table)))
    first, second = (
        confusion_scores(t, match(t, matching=by, surplus=surplus), absent="zero") for t in (table, table[order])
    )
    assert second.miou == pytest.approx(first.miou)
    if by == "count":
        assert second.accuracy == first.accuracy
    assert 0 <= first.miou <= 1
    assert 0 <= first.accuracy <= 1


@quick
@given(tables, st.permutations(range(6)))
def test_no_other_matching_is_more_accurate(table: np.ndarray, order: list[int]) -> None:
    other = np.array([c if c < table.shape[1] else -1 for c in order[: len(table)]])
    assert confusion_scores(table, hungarian(table)).accuracy >= confusion_scores(table, other).accuracy


@quick
@given(
    hnp.arrays(np.int64, 24, elements=st.integers(0, 3)),
    hnp.arrays(np.int64, 24, elements=st.integers(-1, 4)),
    st.integers(0, 24),
)
def test_tables_add_up_over_chunks(predictions: np.ndarray, targets: np.ndarray, cut: int) -> None:
    def table(part: slice) -> np.ndarray:
        return confusion_matrix(predictions[part], targets[part], num_clusters=4, num_classes=4)

    np.testing.assert_array_equal(table(slice(None)), table(slice(cut)) + table(slice(cut, None)))
