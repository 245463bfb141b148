"""Every clustering method on small arbitrary rows: zero rows, duplicates, more clusters than rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from usseg.stages.cluster.methods import METHODS
from usseg.stages.cluster.methods.ot import sinkhorn_plan
from usseg.stages.cluster.scaling import unit_rows

ROWS = hnp.arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 3)), elements=st.integers(-1, 1).map(float))
QUICK = {
    "abc": {"epochs": 2, "hidden": 4},
    "primaps_em": {"start": "random", "init_epochs": 1, "epochs": 2, "batch": 1},
}
few = settings(derandomize=True, deadline=None, max_examples=25)


@pytest.mark.parametrize("name", METHODS)
@few
@given(features=ROWS, k=st.integers(1, 12))
def test_finite_and_labelled(name: str, besides, features: np.ndarray, k: int) -> None:
    method, rows = METHODS[name], unit_rows(features)
    options = method.options(**QUICK.get(name, {}))
    clustering = method.call(rows, np.ones(len(rows)), k=k, seed=0, options=options, **besides(method, rows))
    for values in (clustering.centers, clustering.history, clustering.weights):
        assert np.isfinite(values).all()
    labels = method.predict(clustering, rows, options)
    assert labels.shape == (len(rows),)
    assert 0 <= labels.min() <= labels.max() < len(clustering.centers) <= k


@few
@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 9)), elements=st.floats(-1, 1)),
    st.sampled_from([1e-4, 0.02, 1.0]),
    st.integers(1, 30),
)
def test_plans_are_plans(scores: np.ndarray, epsilon: float, iterations: int) -> None:
    plan = sinkhorn_plan(scores, epsilon=epsilon, iterations=iterations)
    assert plan.min() >= 0
    np.testing.assert_allclose(plan.sum(axis=1), 1, atol=1e-9)
