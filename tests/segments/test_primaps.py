"""PriMaPs: values of the specification (learned methods, 1.10) worked out by hand, and invariants."""

import numpy as np
import pytest
from scipy.stats import ortho_group

from usseg.stages.segments.method import ImageTokens
from usseg.stages.segments.methods.primaps import (
    Options,
    anchor_token,
    mask_logits,
    median_masks,
    principal_direction,
    proposal,
    proposals,
    segment,
)
from usseg.stages.segments.unit_tokens import unit_tokens

E = np.eye(4)


def smooth(seed: int, h: int = 9, w: int = 11, channels: int = 6) -> np.ndarray:
    """Random tokens that change slowly, (N, C)."""
    rng = np.random.default_rng(seed)
    waves = [
        np.cos(rng.normal(0, 0.5, 2) @ np.indices((h, w)).reshape(2, -1) + rng.uniform(0, 6)) for _ in range(channels)
    ]
    return np.stack(waves, axis=1) + rng.normal(0, 0.05, (h * w, channels))


def image(features: np.ndarray, grid: tuple[int, int]) -> ImageTokens:
    none = np.zeros((0, len(features)), np.float32)
    return ImageTokens(grid, features.astype(np.float32), np.zeros(0), none, False, 0, np.zeros(0, np.int64))


def test_two_halves_are_two_proposals() -> None:
    labels = np.tile(np.arange(6) // 3, (6, 1))
    found = segment(image(E[labels.reshape(-1)], (6, 6)), Options())
    np.testing.assert_array_equal(found, labels + 1)


def test_three_blocks() -> None:
    labels = np.array([[0] * 4] * 2 + [[1, 1, 2, 2]] * 2)
    features = E[labels.reshape(-1), :3]
    np.testing.assert_allclose(np.linalg.eigvalsh(np.cov(features.T, bias=True)), [0, 0.25, 0.375], atol=1e-12)
    direction = principal_direction(features)
    np.testing.assert_allclose(np.abs(direction), np.array([2, 1, 1]) / np.sqrt(6), atol=1e-7)
    np.testing.assert_allclose(
        np.unique((features @ direction * np.sign(direction[0])).round(6)), [-0.408248, 0.816497], atol=1e-6
    )
    masks = proposals(features)
    np.testing.assert_array_equal(masks, labels.reshape(-1) == np.arange(3)[:, None])
    np.testing.assert_allclose(masks.mean(axis=1).cumsum(), [0.5, 0.75, 1])  # coverage after each
    # The inner corner of a 2 x 2 block has 4 votes of 9 and belongs to nothing after the median.
    after = mask_logits(median_masks(masks.reshape(3, 4, 4))).argmax(axis=0)
    np.testing.assert_array_equal(after[2:], [[2, 0, 0, 3], [2, 2, 3, 3]])


def test_the_threshold_is_a_cosine() -> None:
    tokens = np.array([[1, 0], [0.5, np.sqrt(0.75)], [0.342, np.sqrt(1 - 0.342**2)]])
    mask = proposal(tokens, np.ones(3, bool), 0, threshold=0.4)
    np.testing.assert_allclose(mask, [1, 0.5, 0])
    # At the threshold a token belongs to the mask.
    np.testing.assert_allclose(proposal(tokens, np.ones(3, bool), 0, threshold=0.5), [1, 0.5, 0])
    assert np.degrees(np.arccos(Options().threshold)) == pytest.approx(66.42, abs=0.01)


@pytest.mark.parametrize("tokens", [20, 40, 100])
def test_the_search_ends_when_little_is_left(tokens: int) -> None:
    # One mask a token: at 95 % the rest is left.
    assert len(proposals(np.eye(tokens), masks=tokens)) == round(0.95 * tokens)
    assert len(proposals(np.eye(tokens), masks=tokens, coverage=0.5)) == tokens // 2


def test_the_direction_is_that_of_centred_features_of_any_length() -> None:
    # Uncentred, the direction would be the mean; of unit length, the first two tokens would not differ.
    features = np.array([[4.0, 10], [-4, 10], [0, 11], [0, 9]])
    np.testing.assert_allclose(np.abs(principal_direction(features)), [1, 0], atol=1e-12)
    stretched = np.array([[1.0, 0], [9, 0], [0, 1], [0, 2]])
    assert np.abs(principal_direction(stretched))[0] > 0.98


def test_of_equally_near_tokens_the_first_is_the_anchor() -> None:
    unit = unit_tokens(np.array([[1.0, 0, 0], [0, 1, 0], [0, 0.999, 0.04]]))
    along = np.array([1.0, -1 - 1e-9, 0]) / np.sqrt(2)
    assert anchor_token(unit, np.ones(3, bool), along) == 0
    np.testing.assert_array_equal(proposal(unit, np.ones(3, bool), 0), [1, 0, 0])
    assert anchor_token(unit, np.array([False, True, True]), along) == 1


@pytest.mark.parametrize("seed", range(4))
def test_invariants(seed: int) -> None:
    features = smooth(seed)
    masks = proposals(features)
    assert ((masks > 0).sum(axis=0) <= 1).all()
    assert (masks > 0).mean() * len(masks) >= 0.95
    np.testing.assert_allclose(masks.max(axis=1), 1)
    np.testing.assert_allclose(proposals(features * 7), masks, atol=1e-9)
    turned = features @ ortho_group.rvs(6, random_state=seed)
    np.testing.assert_allclose(proposals(turned), masks, atol=1e-9)
    areas = [(proposals(features, threshold=psi)[0] > 0).sum() for psi in (0.2, 0.4, 0.6, 0.9)]
    assert areas == sorted(areas, reverse=True)


def test_the_sign_of_the_direction_does_not_matter() -> None:
    unit = unit_tokens(smooth(0))
    direction = principal_direction(smooth(0))
    left = np.ones(len(unit), bool)
    assert anchor_token(unit, left, direction) == anchor_token(unit, left, -direction)


def test_taken_tokens_are_never_the_anchor() -> None:
    unit = unit_tokens(np.array([[1.0, 0], [-0.5, 0.5], [-0.2, -1]]))
    left = np.array([False, True, True])
    anchor = anchor_token(unit, left, np.array([1.0, 0]))
    assert anchor == 1
    mask = proposal(unit, left, anchor)
    assert mask[0] == 0
    assert mask.max() == 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("features", "masks"),
    [
        (np.ones((12, 3)), 1),
        (np.zeros((12, 3)), 0),
        (np.vstack([np.ones((9, 3)), np.zeros((3, 3))]), 1),
        (np.ones((1, 3)), 1),
        (np.arange(1.0, 3)[:, None], 1),
        (np.eye(2), 2),
        (np.full((4, 3), 1e-20), 1),
        (np.full((4, 3), 1e15), 1),
    ],
)
def test_degenerate_tokens(features: np.ndarray, masks: int) -> None:
    assert len(proposals(features)) == masks
    labels = segment(image(features, (1, len(features))), Options())
    assert labels.max() <= masks


def test_zero_tokens_join_no_mask_and_nearly_equal_ones_join_one() -> None:
    features = np.vstack([np.ones((9, 3)), np.zeros((3, 3))])
    np.testing.assert_array_equal(proposals(features) > 0, [[True] * 9 + [False] * 3])
    nearly = 1 + np.random.default_rng(0).normal(0, 0.05, (30, 4))
    assert (proposals(nearly) > 0).all()
    assert len(proposals(nearly)) == 1


def test_the_median_wants_five_of_nine() -> None:
    cross = np.zeros((1, 5, 5))
    cross[0, [1, 2, 2, 2, 3], [2, 1, 2, 3, 2]] = 0.7
    np.testing.assert_array_equal(np.argwhere(median_masks(cross)), [[0, 2, 2]])
    cross[0, 3, 2] = 0
    assert not median_masks(cross).any()
    # Mirrored at the border without repeating it: a corner sees itself once, its neighbours twice, the diagonal four
    # times.
    for cells, stays in (
        ([(1, 1)], False),
        ([(1, 1), (0, 0)], True),
        ([(1, 1), (0, 1)], True),
        ([(0, 1), (1, 0)], False),
    ):
        corner = np.zeros((1, 4, 4))
        for cell in cells:
            corner[0][cell] = 1
        assert bool(median_masks(corner)[0, 0, 0]) == stays


@pytest.mark.parametrize("seed", range(3))
def test_disjoint_masks_stay_disjoint_after_the_median(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.repeat(rng.integers(0, 3, (5, 6)), 2, axis=0), 2, axis=1)
    after = median_masks((labels == np.arange(3)[:, None, None]) * rng.uniform(0.4, 1, (3, 1, 1)))
    assert ((after > 0).sum(axis=0) <= 1).all()
    assert (after > 0).any(axis=(1, 2)).all()


@pytest.mark.parametrize(("masks", "winner"), [(1, 0.7311), (4, 0.4046), (9, 0.2320)])
def test_the_winner_of_many_masks_is_not_sure(masks: int, winner: float) -> None:
    soft = np.eye(masks + 1)[1:, :, None] * 0.6  # one cell a mask, the first cell in none
    found = np.exp(mask_logits(soft))
    np.testing.assert_allclose(found.max(axis=0), winner, atol=5e-5)
    np.testing.assert_array_equal(found.argmax(axis=0)[:, 0], np.arange(masks + 1))


def test_the_number_of_masks_is_limited() -> None:
    features = np.eye(40)
    assert len(proposals(features)) == 38  # 0.95 of 40
    assert len(proposals(features, masks=5)) == 5


def test_one_mask_leaves_the_rest_to_the_background() -> None:
    mask = np.zeros((1, 5, 5))
    mask[0, :3] = 1
    np.testing.assert_array_equal(mask_logits(mask).argmax(axis=0), mask[0])
    assert not mask_logits(np.zeros((2, 5, 5))).argmax(axis=0).any()
