"""The linear probe of benchmarks/: pixels of a token, scores by hand, and separable tokens."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

# benchmarks/ is not installed.
FILE = Path(__file__).resolve().parents[2] / "benchmarks/linear_probe.py"
SPEC = spec_from_file_location("linear_probe", FILE)
assert SPEC is not None
assert SPEC.loader is not None
MODULE = module_from_spec(SPEC)
SPEC.loader.exec_module(MODULE)
class_counts, probe, scores = MODULE.class_counts, MODULE.probe, MODULE.scores


def test_the_pixels_of_each_token_by_hand() -> None:
    labels = np.array([[0, 0, 1, 1, 5], [0, -1, 1, 0, 1]])
    found = class_counts(labels, (1, 2), (2, 4), (0, 0), classes=2)
    # Token 0 has the first two columns, token 1 the others: the column behind the grid is the nearest token's.
    np.testing.assert_array_equal(found, [[3, 0], [1, 4]])


def test_scores_by_hand() -> None:
    """Prediction 1 is never right: class 0 has 4 of 5 pixels, class 1 has 0 of 5, class 2 has no pixel."""
    counts = np.array([[4, 1, 0], [0, 0, 0]])
    miou, accuracy = scores(np.array([0, 1]), counts)
    assert miou == pytest.approx((4 / 5 + 0) / 2)
    assert accuracy == pytest.approx(4 / 5)


def test_separable_tokens_are_learned() -> None:
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 3, 300)
    tokens = (np.eye(3, 6)[kinds] * 4 + rng.normal(0, 0.3, (300, 6))).astype(np.float32)
    counts = np.eye(3, dtype=np.int64)[kinds] * 7
    import torch

    layer = probe(tokens, counts, epochs=200)
    predicted = layer(torch.from_numpy(tokens)).argmax(dim=1).numpy()
    assert scores(predicted, counts) == (1.0, 1.0)
