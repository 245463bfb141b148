"""TokenCut and MaskCut: values of the specification (section 8) worked out by hand, and properties of their cuts."""

import numpy as np
import pytest

from usseg.stages.segments.cuts import NO_CUT, component_of, cornered_side, second_eigenpair, seeded_side, token_graph
from usseg.stages.segments.methods import maskcut, tokencut


def blocks(grid: tuple[int, int], *areas: tuple[slice, slice], noise: float = 0.0) -> np.ndarray:
    """Tokens e_0 with blocks of e_1, e_2, ... (N, 4)."""
    labels = np.zeros(grid, np.int64)
    for number, area in enumerate(areas, start=1):
        labels[area] = number
    rng = np.random.default_rng(0)
    return (np.eye(4)[labels.reshape(-1)] + rng.normal(0, noise, (labels.size, 4))).astype(np.float32)


def test_two_and_four_tokens() -> None:
    weights = token_graph(np.eye(2)[[0, 0, 1, 1, 1, 1]])
    np.testing.assert_allclose(weights.sum(axis=1), [2.00004] * 2 + [4.00002] * 4)
    value, vector = second_eigenpair(weights)
    assert value == pytest.approx(2.49996e-5, rel=1e-5)
    assert vector[0] / vector[2] == pytest.approx(-3.99994, abs=1e-5)  # minus the ratio of the volumes
    assert vector[0] > 0  # the larger magnitude is positive
    side, seed = seeded_side(vector, (1, 6))
    assert side.tolist() == [[True] * 2 + [False] * 4]
    assert seed == 0


def test_edges_are_joined_above_tau_only() -> None:
    # Cosines 0.6 and 0.8, exact in float32 as tau is: equal is not above.
    features = np.array([[1, 0], [0.6, 0.8], [0, 0]], np.float32)
    tau = float(np.float32(0.6))
    np.testing.assert_allclose(token_graph(features, tau=tau)[0], [1, 1e-5, 1e-5])
    np.testing.assert_allclose(token_graph(features, tau=0.5, eps=1e-3)[0], [1, 1, 1e-3])
    np.testing.assert_allclose(token_graph(features, tau=0.5, binary=False)[0], [1, 0.6, 1e-5], rtol=1e-6)
    # A zero token is joined to nothing, itself included: its degree is N eps.
    np.testing.assert_allclose(token_graph(features).sum(axis=1)[2], 3e-5)


def test_a_value_at_the_mean_is_below_it() -> None:
    side, seed = seeded_side(np.array([3.0, 0, -1, -2]), (1, 4))
    assert side.tolist() == [[True, False, False, False]]
    assert seed == 0


def test_a_constant_vector_puts_all_on_the_side_of_the_first_token() -> None:
    # The original's answer to it; no method asks, as the eigenvalue is 1 then.
    side, seed = seeded_side(np.ones(4), (2, 2))
    assert side.all()
    assert seed == 0


def test_one_token_has_no_object() -> None:
    assert not tokencut.object_mask(np.ones((1, 3)), (1, 1)).any()
    for released in (False, True):
        assert maskcut.object_masks(np.ones((1, 3)), (1, 1), released=released) == []


@pytest.mark.parametrize("tokens", [30, 500])
def test_the_eigenpair_solves_the_problem(tokens: int) -> None:
    rng = np.random.default_rng(1)
    weights = token_graph(rng.normal(size=(tokens, 6)))
    degrees = weights.sum(axis=1)
    value, vector = second_eigenpair(weights)
    np.testing.assert_allclose(degrees * vector - weights @ vector, value * degrees * vector, atol=1e-9)
    assert (degrees * vector**2).sum() == pytest.approx(1)
    exact = np.linalg.eigvalsh(np.eye(tokens) - weights / np.sqrt(np.outer(degrees, degrees)))
    assert value == pytest.approx(exact[1], abs=1e-10)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("tokens", [2, 40, 500])
def test_equal_tokens_have_no_cut(tokens: int) -> None:
    value, vector = second_eigenpair(token_graph(np.ones((tokens, 3))))
    assert value > NO_CUT
    assert np.isfinite(vector).all()
    assert not tokencut.object_mask(np.ones((tokens, 3)), (1, tokens)).any()
    assert maskcut.object_masks(np.ones((tokens, 3)), (1, tokens)) == []


def test_the_sign_of_the_vector_does_not_matter() -> None:
    vector = np.random.default_rng(0).normal(size=12)
    for sign in (1, -1):
        side, seed = seeded_side(sign * vector, (3, 4))
        assert side.reshape(-1)[seed]
        np.testing.assert_array_equal(side, seeded_side(vector, (3, 4))[0])


def test_pieces_are_joined_by_four_neighbours() -> None:
    mask = np.array([[1, 1, 0], [0, 0, 1], [1, 0, 1]], bool)
    np.testing.assert_array_equal(component_of(mask, 5), np.array([[0, 0, 0], [0, 0, 1], [0, 0, 1]], bool))
    assert not component_of(mask, 4).any()


def test_the_side_with_three_corners_is_not_the_object() -> None:
    frame = np.array([[2.0, 1, 1], [1, -1, 1], [1, 1, 1]])
    side, seed = cornered_side(frame.reshape(-1), (3, 3))
    np.testing.assert_array_equal(side, frame < 0)
    assert seed == 4
    side, _ = seeded_side(frame.reshape(-1), (3, 3))
    assert side[0, 0]


@pytest.mark.parametrize(("corners", "reversed_"), [(2, False), (3, True), (4, True)])
def test_corners_count_from_three_on(corners: int, reversed_: bool) -> None:
    vector = np.array([[1.0, -1, 1], [-1, 4, -1], [1, -1, 1]])
    vector[[0, 0, 2, 2][corners:], [0, 2, 0, 2][corners:]] = -1
    side, seed = cornered_side(vector.reshape(-1), (3, 3))
    np.testing.assert_array_equal(side, (vector > 0) != reversed_)
    # The new seed is the largest of the signed vector: the middle, or the first of the other side.
    assert seed == (1 if reversed_ else 4)


def test_the_side_without_the_largest_magnitude_is_not_the_object() -> None:
    vector = np.array([[1.0, 1, 2], [1, -9, 1]])
    side, seed = cornered_side(vector.reshape(-1), (2, 3))
    np.testing.assert_array_equal(side, vector < 0)
    assert seed == 4
    # Tokens that take no part belong to no side and hold no corner.
    free = np.array([True, True, True, True, False, True])
    side, seed = cornered_side(vector.reshape(-1), (2, 3), free_N=free)
    np.testing.assert_array_equal(side, vector == 2)
    assert seed == 2


def test_one_object_of_one_cut() -> None:
    tokens = blocks((8, 10), (slice(2, 5), slice(3, 7)))
    mask = tokencut.object_mask(tokens, (8, 10))
    np.testing.assert_array_equal(mask, tokens[:, 1].reshape(8, 10) == 1)
    np.testing.assert_array_equal(maskcut.object_masks(tokens, (8, 10), masks=1)[0], mask)


def test_objects_are_disjoint_and_found_in_turn() -> None:
    areas = ((slice(2, 6), slice(2, 6)), (slice(7, 10), slice(9, 13)))
    tokens = blocks((12, 15), *areas, noise=0.02)
    masks = maskcut.object_masks(tokens, (12, 15), masks=5)
    assert len(masks) == 2
    assert not (masks[0] & masks[1]).any()
    for mask, area in zip(masks, areas, strict=True):
        np.testing.assert_array_equal(np.argwhere(mask).min(axis=0), [s.start for s in area])
        np.testing.assert_array_equal(np.argwhere(mask).max(axis=0), [s.stop - 1 for s in area])


def test_taken_tokens_that_stay_in_the_graph_rule_the_cut() -> None:
    # 2 of 6 tokens taken: lambda 1 - 2 / 6, and the vector lives on the taken ones.
    features = np.array([[0, 0]] * 2 + [[1, 0]] * 4, np.float32)
    value, vector = second_eigenpair(token_graph(features, tau=0.15))
    assert value == pytest.approx(0.6667, abs=1e-4)
    np.testing.assert_allclose(vector[:2], 91.29, atol=0.01)
    np.testing.assert_allclose(vector[2:], -0.0007, atol=5e-5)


@pytest.mark.parametrize(("tokens", "taken"), [(10, 1), (20, 15), (450, 90)])
def test_their_eigenvalue_is_the_share_of_the_others(tokens: int, taken: int) -> None:
    features = np.repeat(np.array([[0, 0], [1, 0]], np.float32), [taken, tokens - taken], axis=0)
    value, vector = second_eigenpair(token_graph(features))
    assert value == pytest.approx(1 - taken / tokens, abs=1e-4)
    assert np.abs(vector[:taken]).min() > 1e3 * np.abs(vector[taken:]).max()


@pytest.mark.parametrize(("tokens", "ours", "released"), [(1, [16], [16, 0, 0]), (2, [16, 2], [16, 2, 0])])
def test_a_later_mask_exceeds_a_hundredth(tokens: int, ours: list[int], released: list[int]) -> None:
    # 100 tokens: an object of 16 and one of 1 or 2. Ours ends where a mask is too small, the original returns it empty.
    features = blocks((10, 10), (slice(1, 5), slice(1, 5)), (slice(7, 8), slice(7, 7 + tokens)))
    assert [mask.sum() for mask in maskcut.object_masks(features, (10, 10))] == ours
    assert [mask.sum() for mask in maskcut.object_masks(features, (10, 10), released=True)] == released


def test_a_mask_is_rejected_above_half_and_up_to_a_hundredth() -> None:
    def first(count: int) -> np.ndarray:
        return (np.arange(200) < count).reshape(10, 20)

    nothing = np.zeros((10, 20), bool)
    assert not maskcut.rejected(first(20), first(40))  # IoU 0.5
    assert maskcut.rejected(first(21), first(40))
    assert maskcut.rejected(first(2), nothing)
    assert not maskcut.rejected(first(3), nothing)


def test_fewer_masks_are_the_first_of_more() -> None:
    features = np.random.default_rng(1).normal(size=(144, 5)).cumsum(axis=0).astype(np.float32)
    for released in (False, True):
        most = maskcut.object_masks(features, (12, 12), masks=5, released=released)
        assert len(most) >= 2
        for count in range(1, 5):
            fewer = maskcut.object_masks(features, (12, 12), masks=count, released=released)
            np.testing.assert_array_equal(fewer, most[:count])


def test_the_search_ends_with_fewer_than_two_tokens() -> None:
    masks = maskcut.object_masks(np.eye(2), (1, 2), masks=5)
    assert [mask.sum() for mask in masks] == [1]


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_masks_never_overlap(released: bool, seed: int) -> None:
    features = np.random.default_rng(seed).normal(size=(56, 5)).cumsum(axis=0).astype(np.float32)
    masks = maskcut.object_masks(features, (7, 8), masks=6, released=released)
    assert np.sum(masks, axis=0).max() <= 1
    assert len(masks) <= 6
    assert released or all(mask.any() for mask in masks)
    assert all(mask.mean() > maskcut.SMALLEST for mask in masks[1:] if not released)
