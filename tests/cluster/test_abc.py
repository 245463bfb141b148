import numpy as np
import pytest
import torch

from stages.cluster.methods.abc import cosine_scores, scores_loss

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
