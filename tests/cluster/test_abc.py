import numpy as np
import pytest
import torch

from usseg.stages.cluster.methods.abc import cosine_scores, scores_loss, size_bounds

A = [[1, 0], [0, 1], [0.5, 0.5]]
B = [[1, 0], [1, 0], [1, 0]]
C = [[0.2, 0.3], [0, 0], [0.6, 0.8]]


@pytest.mark.parametrize(
    ("scores", "floor", "loss"),
    [(A, False, 0.5), (A, True, 0.5), (B, False, 0.8143398), (B, True, 0.5), (C, False, 1.58), (C, True, 1.58)],
)
def test_hand_computed(scores: list[list[float]], floor: bool, loss: float) -> None:
    found = scores_loss(torch.tensor(scores, dtype=torch.float64), floor_thresholds=floor)
    assert float(found) == pytest.approx(loss, abs=1e-6)


@pytest.mark.parametrize(("second", "loss"), [((0.0, 2.0), 1.0), ((0.0, -2.0), 1.3547799)])
def test_from_vectors(second: tuple[float, float], loss: float) -> None:
    outputs = torch.tensor([(1.0, 0.0), second, (1.0, 1.0)], dtype=torch.float64)
    scores = torch.relu(cosine_scores(outputs, torch.eye(2, dtype=torch.float64)))
    assert float(scores_loss(scores)) == pytest.approx(loss, abs=1e-6)
    np.testing.assert_allclose(scores, torch.relu(cosine_scores(3 * outputs, torch.eye(2, dtype=torch.float64))))


def balanced(rows: int, k: int) -> np.ndarray:
    return np.eye(k)[np.random.default_rng(0).permutation(rows) % k]


@pytest.mark.parametrize(
    ("scores", "loss"),
    [
        (np.full((4096, 21), 1 / 21), 3900.952),  # disjointness alone: 4096 (1 - 1 / 21)
        (np.zeros((4096, 21)), 1 + 9.287982),  # no coverage, every cluster below its lower bound
        (np.eye(1, 21).repeat(4096, axis=0), 161.330),  # one cluster takes all
        (balanced(4200, 21), 0.0),  # any balanced labelling: the loss does not look at the data
    ],
    ids=["uniform", "zero", "collapsed", "balanced"],
)
def test_states_of_training(scores: np.ndarray, loss: float) -> None:
    assert float(scores_loss(torch.from_numpy(scores))) == pytest.approx(loss, abs=1e-3)


@pytest.mark.parametrize(
    ("rows", "floor", "bounds"),
    [
        (3, False, (0.75, 2.1213203)),
        (3, True, (0, 2)),
        (4096, False, (9.287982, 893.820478)),
        (4096, True, (9, 893)),
        (2182, False, (4.947846, 476.151436)),
        (2182, True, (4, 476)),
    ],
)
def test_size_bounds(rows: int, floor: bool, bounds: tuple[float, float]) -> None:
    assert size_bounds(rows, 2 if rows == 3 else 21, floor=floor) == pytest.approx(bounds, rel=1e-6)


def test_no_upper_bound() -> None:
    assert size_bounds(100, 4, lower_exponent=1.5, upper_exponent=None) == (12.5, float("inf"))
    collapsed = torch.tensor([[1.0, 0], [1, 0]], dtype=torch.float64)
    assert float(scores_loss(collapsed, upper_exponent=None)) == pytest.approx(0.25)


@pytest.mark.parametrize("floor", [False, True])
def test_rows_and_clusters_may_be_permuted_and_outputs_scaled(floor: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    outputs, centers = (torch.randn(n, 6, dtype=torch.float64, generator=generator) for n in (40, 5))
    loss = scores_loss(torch.relu(cosine_scores(outputs, centers)), floor_thresholds=floor)
    shuffled = cosine_scores(outputs.flip(0) * 7, centers[[3, 1, 4, 0, 2]])
    torch.testing.assert_close(scores_loss(torch.relu(shuffled), floor_thresholds=floor), loss)


def test_zero_vectors_have_no_nan() -> None:
    scores = cosine_scores(torch.zeros(3, 4, requires_grad=True), torch.zeros(2, 4))
    loss = scores_loss(torch.relu(scores))
    loss.backward()
    assert torch.isfinite(loss)
