"""Silhouette, Davies-Bouldin index, stability and suggestion, by hand."""

import numpy as np
import pytest

from usseg.results import cluster_counts
from usseg.results.cluster_counts import Judgement, distance_matrix, judge, most_clusters, stability, suggest
from usseg.stages.cluster.methods.kmeans import Options


def line(*values: float) -> np.ndarray:
    """Rows of one channel."""
    return np.array(values, np.float32)[:, None]


def judged(rows: np.ndarray, *numbers: int, **options: float) -> list[Judgement]:
    return judge(rows, np.ones(len(rows)), numbers, seed=0, options=Options(**options))


def test_two_pairs_by_hand() -> None:
    """0 and 1, 10 and 11. The outer rows have a = 1, b = 10.5; the inner ones a = 1, b = 9.5."""
    found = judged(line(0, 1, 10, 11), 2)[0]
    assert found.k == 2
    assert found.silhouette == pytest.approx((9.5 / 10.5 + 8.5 / 9.5) / 2, abs=1e-6)
    assert found.davies_bouldin == pytest.approx((0.5 + 0.5) / 10, abs=1e-6)
    assert (found.stability, found.spread) == (1, 0)


def test_the_adjusted_rand_index_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """0011 and 0012: 1 pair of 6 is together in both, 2 and 1 in each; expected 1/3; (1 - 1/3) / (3/2 - 1/3) = 4/7."""
    monkeypatch.setattr(cluster_counts, "SHARE", 1.0)
    answers = iter([[0, 0, 1, 1], [0, 0, 1, 2]] * cluster_counts.PAIRS)
    found = stability(4, lambda fitted, labelled: np.array(next(answers))[labelled], seed=0)
    assert found == pytest.approx([4 / 7] * cluster_counts.PAIRS)


def test_names_of_labels_do_not_matter_and_only_common_rows_are_compared() -> None:
    seen: list[np.ndarray] = []

    def labels_of(fitted: np.ndarray, labelled: np.ndarray) -> np.ndarray:
        seen.append(fitted)
        assert set(labelled.tolist()) <= set(fitted.tolist())
        return (labelled % 3 + len(seen)) % 3

    assert stability(50, labels_of, seed=4).tolist() == [1.0] * cluster_counts.PAIRS
    assert all(len(np.unique(fitted)) == 40 for fitted in seen)
    assert len({fitted.tobytes() for fitted in seen}) == 2 * cluster_counts.PAIRS


def test_three_groups_are_found_and_a_second_time_too() -> None:
    rng = np.random.default_rng(0)
    centers = np.array([[0, 0], [8, 0], [0, 8]])
    rows = (centers[np.arange(150) % 3] + rng.normal(size=(150, 2))).astype(np.float32)
    found = judged(rows, *range(2, 8))
    assert suggest(found).k == 3
    assert max(found, key=lambda one: one.silhouette).k == min(found, key=lambda one: one.davies_bouldin).k == 3
    assert found[1].stability > 0.95
    assert judged(rows, *range(2, 8)) == found


def test_distances_are_exact() -> None:
    rows = np.random.default_rng(1).normal(1000, 1, (600, 3)).astype(np.float32)
    rows[599] = rows[0]
    expected = np.linalg.norm(rows[:, None].astype(np.float64) - rows[None], axis=2)
    np.testing.assert_allclose(distance_matrix(rows), expected, atol=1e-3)
    assert distance_matrix(rows)[0, 599] < 1e-3
    assert not distance_matrix(rows).diagonal().any()


@pytest.mark.parametrize(
    ("rows", "most"),
    [(line(1, 1, 1, 1), 1), (line(0, -0.0, 0, 1, 1), 2), (line(1, 2, 3, 4), 3), (line(1, 2, 3, 3, 3), 3)],
)
def test_at_most_the_different_rows_are_clusters(rows: np.ndarray, most: int) -> None:
    assert most_clusters(rows) == most


def test_as_many_clusters_as_different_rows_can_be_judged() -> None:
    found = judged(line(1, 1, 2, 2, 5, 5, 9), 2, 3, 4)
    assert found[2].silhouette == pytest.approx(6 / 7)  # a row alone in its cluster has 0
    assert found[2].davies_bouldin == 0


def scores(silhouette: list[float], stable: list[float]) -> list[Judgement]:
    return [Judgement(k, s, 1.0, rand, 0.1) for k, (s, rand) in enumerate(zip(silhouette, stable, strict=True), 2)]


@pytest.mark.parametrize(
    ("silhouette", "stable", "k", "peaks"),
    [
        ([0.5, 0.3, 0.4, 0.2], [1, 1, 0.9, 1], 4, ()),  # 2 is the first number: it is no local maximum
        ([0.5, 0.3, 0.4, 0.2, 0.3, 0.1], [1, 1, 0.9, 1, 0.8, 1], 4, (6,)),
        ([0.5, 0.3, 0.4, 0.2, 0.3, 0.1], [1, 1, 0.7, 1, 0.8, 1], 6, ()),  # 4 is not stable
        ([0.5, 0.4, 0.3, 0.2], [1, 1, 1, 1], 2, ()),
        ([0.1, 0.2, 0.3, 0.4], [0.9, 0.9, 0.9, 0.5], 4, ()),  # 5 is not stable, and 4 no maximum
        ([0.3], [1], 2, ()),
        ([0.3, 0.4, 0.1], [0.79, 0.5, 0.1], None, ()),
    ],
)
def test_the_suggestion(silhouette: list[float], stable: list[float], k: int | None, peaks: tuple[int, ...]) -> None:
    found = suggest(scores(silhouette, stable))
    assert (found.k, found.peaks) == (k, peaks)
    assert ("no number is stable" in found.reason) == (k is None)
