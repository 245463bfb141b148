import numpy as np
import pytest

from usseg.stages.cluster.methods.ot import Options, fit, sinkhorn_plan, transport_step


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


@pytest.mark.parametrize("iterations", [1, 2, 10, 200])
def test_rows_sum_to_one_and_columns_tend_to_balance(iterations: int) -> None:
    scores = np.random.default_rng(1).uniform(-1, 1, (4, 30))
    plan = sinkhorn_plan(scores, epsilon=0.1, iterations=iterations)
    np.testing.assert_allclose(plan.sum(axis=1), 1, atol=1e-12)
    if iterations == 200:
        np.testing.assert_allclose(plan.sum(axis=0), 4 / 30, atol=1e-9)


def test_offsets_leave_a_converged_plan_alone() -> None:
    rng = np.random.default_rng(2)
    scores = rng.uniform(0, 1, (3, 8))
    plan = sinkhorn_plan(scores, epsilon=0.1, iterations=500)
    moved = scores + 2 + rng.normal(size=(3, 1)) + rng.normal(size=(1, 8))
    np.testing.assert_allclose(sinkhorn_plan(moved, epsilon=0.1, iterations=500), plan, atol=1e-9)


def test_the_plan_of_a_small_epsilon_step() -> None:
    rows = np.array([[1, 0], [0.8, 0.6], [0, 1], [0.6, 0.8]])
    plan = sinkhorn_plan(rows[[0, 2]] @ rows.T, epsilon=1e-3, iterations=50)
    np.testing.assert_allclose(plan, [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]], atol=1e-6)


def test_more_clusters_than_rows_or_distinct_rows() -> None:
    assert np.isfinite(sinkhorn_plan(np.ones((5, 2)))).all()
    rows = np.repeat(np.eye(2, dtype=np.float32), 3, axis=0)
    clustering = fit(rows, np.ones(6), k=5, seed=0, options=Options())
    assert sorted(clustering.centers.round(6).tolist()) == [[0, 1], [1, 0]]
