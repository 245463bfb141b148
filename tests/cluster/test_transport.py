import numpy as np
import pytest

from stages.cluster.methods.ot import sinkhorn_plan, transport_step


def test_two_by_two() -> None:
    plan = sinkhorn_plan(np.array([[1, 0.9], [0.9, 1]]), epsilon=0.02)
    np.testing.assert_allclose(plan, [[0.9933071, 0.0066929], [0.0066929, 0.9933071]], atol=1e-7)
    np.testing.assert_allclose(np.diag(sinkhorn_plan(np.eye(2), epsilon=1.0)), 0.7310586, atol=1e-7)


def test_two_by_four() -> None:
    plan = sinkhorn_plan(np.array([[0.8, 0.2, 0.5, 0.4], [0.1, 0.6, 0.3, 0.9]]), epsilon=0.1, iterations=10)
    np.testing.assert_allclose(plan[0], [0.507711, 0.015522, 0.470944, 0.005823], atol=1e-6)
    np.testing.assert_allclose(plan.sum(axis=0), [0.507972, 0.492747, 0.506835, 0.492446], atol=1e-6)
    np.testing.assert_allclose(plan.sum(axis=1), 1, atol=1e-12)


def test_constant_scores_and_a_small_epsilon_step() -> None:
    np.testing.assert_allclose(sinkhorn_plan(np.ones((3, 6))), 1 / 6)
    rows = np.array([[1, 0], [0.8, 0.6], [0, 1], [0.6, 0.8]], np.float32)
    centers, _ = transport_step(rows, rows[[0, 2]], epsilon=1e-3, iterations=50)
    np.testing.assert_allclose(centers, [[0.9, 0.3], [0.3, 0.9]], atol=1e-5)


@pytest.mark.parametrize("epsilon", [1e-4, 0.02, 10])
def test_never_overflows(epsilon: float) -> None:
    scores = np.random.default_rng(0).uniform(-1, 1, (5, 40))
    assert np.isfinite(sinkhorn_plan(scores, epsilon=epsilon)).all()
