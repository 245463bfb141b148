"""SimSAM's heads: values of the specification (section 7); images in one batch do not influence each other."""

import numpy as np
import pytest
import torch

from usseg.pipeline.errors import ParamsError
from usseg.pipeline.seeding import image_seed
from usseg.stages.eigen.graph import feature_affinity, projected_affinity, unit_rows
from usseg.stages.eigen.method import TokenBatch
from usseg.stages.eigen.methods import simsam
from usseg.stages.eigen.methods.pca import principal_scores
from usseg.stages.eigen.siamese import (
    Heads,
    agreement,
    collapsed,
    random_heads,
    siamese_loss,
    token_orders,
    token_views,
    train_heads,
)
from usseg.stages.eigen.stage import methods

GRID = (6, 8)


def features(seed: int = 0, tokens: int = 48, channels: int = 12) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return unit_rows(rng.normal(size=(tokens, channels)).cumsum(axis=0))


def trained(seeds: list[int], **settings):
    drawn = [token_views(features(seed), GRID, seed=seed) for seed in seeds]
    views = np.stack([pair for pair, _ in drawn], axis=1)
    inside = np.stack([mask for _, mask in drawn])
    return train_heads(views, random_heads(seeds, 12), weights_BN=inside, **settings)


@pytest.mark.parametrize("offset", ["mean", "third"])
@pytest.mark.parametrize("threshold", [True, False])
def test_without_weight_the_projection_adds_nothing(offset: str, threshold: bool) -> None:
    plain = feature_affinity(features(), offset=offset, threshold=threshold)
    found = projected_affinity(features(), features(1), weight=0, offset=offset, threshold=threshold)
    np.testing.assert_array_equal(found, plain)


def test_two_tokens_by_hand() -> None:
    # G = I, mean 1/2; P P^T = [[1, -1], [-1, 1]]: [[.6, -.6], [-.6, .6]] before the cut.
    found = projected_affinity(np.eye(2), np.array([[1.0], [-1]]), weight=0.1)
    np.testing.assert_allclose(found, np.eye(2))
    np.testing.assert_allclose(
        projected_affinity(np.eye(2), np.array([[1.0], [-1]]), threshold=False), [[1, -1], [-1, 1]]
    )
    # Offset 1/3 and P P^T = 4 everywhere: 2/3 + .4 and -1/3 + .4, over the largest.
    third = projected_affinity(np.eye(2), np.full((2, 1), 2.0), offset="third")
    np.testing.assert_allclose(third, [[1, 0.0625], [0.0625, 1]], rtol=1e-5)


def test_equal_tokens_have_no_edges() -> None:
    assert not projected_affinity(np.ones((5, 3)), np.zeros((5, 2))).any()
    with pytest.raises(ValueError, match="none, mean, third are allowed"):
        projected_affinity(np.eye(2), np.eye(2), offset="median")


def test_principal_scores() -> None:
    scores = principal_scores(np.array([[2.0, 0], [0, 3], [5, 0]]), components=64)
    assert scores.shape == (3, 2)  # tokens less one
    centred = np.array([[1, -1], [-2, 2], [1, -1]]) / 3
    np.testing.assert_allclose(scores @ scores.T, centred @ centred.T, atol=1e-6)
    assert principal_scores(np.ones((1, 4))).shape == (1, 0)
    rng = np.random.default_rng(0)
    assert [principal_scores(rng.normal(size=(n, 384))).shape[1] for n in (40, 64, 65, 200)] == [39, 63, 64, 64]
    np.testing.assert_allclose(principal_scores(np.ones((6, 4))), 0, atol=1e-6)


def test_targets_take_no_gradient() -> None:
    predicted, target = torch.randn(1, 4, 3, requires_grad=True), torch.randn(1, 4, 3, requires_grad=True)
    slopes = torch.autograd.grad(
        agreement(predicted, target, torch.ones(1, 4)).sum(), (predicted, target), allow_unused=True
    )
    assert slopes[0].abs().sum() > 0
    assert slopes[1] is None


def test_the_loss_by_hand() -> None:
    eye, none = torch.eye(2)[None], torch.zeros(1, 2)
    heads = Heads(eye, none, eye.flip(1), none)  # z = elu(x), p = z with channels swapped
    x0, x1 = torch.tensor([[[3.0, 0]]]), torch.tensor([[[0, 5.0]]])
    # p0 = (0, 3) beside z1 = (0, 5): cosine 1, and the other way round.
    assert siamese_loss((x0, x1), heads, torch.ones(1, 1)).item() == pytest.approx(-1)
    assert siamese_loss((x0, x0), heads, torch.ones(1, 1)).item() == pytest.approx(0)


def test_zero_vectors_have_no_nan() -> None:
    zeros = torch.zeros(1, 4, 3, requires_grad=True)
    loss = agreement(zeros, torch.zeros(1, 4, 3), torch.ones(1, 4))
    loss.sum().backward()
    assert loss.item() == 0
    assert torch.isfinite(zeros.grad).all()


@pytest.mark.parametrize(("batch", "steps"), [(None, 3), (2, 3 * 24), (7, 3 * 7)])
def test_a_smaller_rest_of_the_tokens_is_left_out(batch: int | None, steps: int) -> None:
    """49 tokens in twos, as the released code: one is left over in every epoch."""
    views = features(0, tokens=49)[None, None].repeat(2, axis=0)
    found = train_heads(views, random_heads([0], 12), weights_BN=np.ones((1, 49)), epochs=3, batch=batch)
    assert found.losses.shape == (1, steps)
    last = views.copy()
    last[:, :, 48] = 1e3
    again = train_heads(last, random_heads([0], 12), weights_BN=np.ones((1, 49)), epochs=3, batch=batch)
    assert np.array_equal(again.losses, found.losses) == (batch == 2)


def test_a_step_is_plain_gradient_descent() -> None:
    views, start = features(0)[None, None].repeat(2, axis=0), random_heads([0], 12)
    leaves = [part.clone().requires_grad_() for part in start.parameters]
    optimizer = torch.optim.SGD(leaves, lr=0.06)
    for _ in range(4):
        pair = (torch.from_numpy(views[0]), torch.from_numpy(views[1]))
        optimizer.zero_grad()
        siamese_loss(pair, Heads(*leaves), torch.ones(1, 48)).sum().backward()
        optimizer.step()
    found = train_heads(views, start, weights_BN=np.ones((1, 48)), epochs=4)
    for ours, theirs in zip(found.heads.parameters, leaves, strict=True):
        torch.testing.assert_close(ours, theirs.detach())


def test_trained_heads_still_tell_the_tokens_apart() -> None:
    drawn = [token_views(features(seed), GRID, seed=seed) for seed in range(3)]
    found = trained([0, 1, 2])
    predicted = found.heads.predict(found.heads.project(torch.from_numpy(np.stack([features(s) for s in range(3)]))))
    assert not collapsed(predicted, np.stack([mask for _, mask in drawn])).any()
    assert torch.nn.functional.normalize(predicted, dim=2).std(dim=1).mean(dim=1).min() > 1e-3


def test_untrained_heads_raise_the_offset() -> None:
    """P P^T of a random linear layer is (1 + cosine) / 3 on average:

    about 0.66 on the diagonal, positive between unlike tokens.
    """
    tokens = unit_rows(np.random.default_rng(0).normal(size=(20, 384)) + 0.9)
    predicted = random_heads(list(range(32)), 384).predict(torch.from_numpy(tokens).expand(32, -1, -1))
    gram = (predicted @ predicted.transpose(1, 2)).mean(dim=0).numpy()
    assert np.diag(gram).mean() == pytest.approx(2 / 3, abs=0.02)
    np.testing.assert_allclose(gram, (1 + tokens @ tokens.T) / 3, atol=0.06)
    assert gram.mean() == pytest.approx(0.49, abs=0.03)  # as measured on tokens like these, mean cosine 0.47


def tokens_of(*images: np.ndarray, device: str = "cpu") -> TokenBatch:
    grids, ids = [GRID] * len(images), list("ab"[: len(images)])
    return TokenBatch(features=np.stack(images), grids=grids, ids=ids, colors=[], device=device, k=5)


def test_what_every_projection_adds_to_the_features() -> None:
    tokens = tokens_of(features(0) * 5, features(1))
    seeds = [image_seed(0, name) for name in tokens.ids]
    rows = torch.from_numpy(np.stack([unit_rows(part) for part in tokens.features]))

    def weights(affinity: str, **options) -> np.ndarray:
        method = methods()[affinity]
        return method.call(tokens, method.options(**options))

    # As released: an untrained predictor on the features themselves, not scaled, the projector left out.
    untrained = random_heads(seeds, 12).predict(rows).numpy()
    for found, part, extra in zip(weights("simsam_released", weight=0.3), rows, untrained, strict=True):
        expected = projected_affinity(part, extra, weight=0.3, offset="third")
        np.testing.assert_allclose(found, expected, atol=1e-6)
    # As the paper: predictor after projector, both trained, of unit length.
    heads = random_heads(seeds, 12)
    expected = torch.nn.functional.normalize(heads.predict(heads.project(rows)), dim=2)
    np.testing.assert_allclose(
        simsam.projections(tokens, simsam.Options(lr=1e-9, epochs=1)), expected.numpy(), atol=1e-5
    )
    trained_rows = simsam.projections(tokens, simsam.Options())
    assert np.abs(np.array(trained_rows) - expected.numpy()).max() > 1e-3
    for found, part, extra in zip(weights("simsam", weight=0.3), rows, trained_rows, strict=True):
        np.testing.assert_allclose(found, projected_affinity(part, extra, weight=0.3), atol=1e-6)
    for found, part in zip(weights("pca", components=5, threshold=False), rows, strict=True):
        extra = principal_scores(part.numpy(), components=5)
        np.testing.assert_allclose(found, projected_affinity(part, extra, threshold=False), atol=1e-6)


@pytest.mark.parametrize("affinity", ["simsam", "simsam_released"])
def test_another_seed_draws_other_heads(affinity: str) -> None:
    tokens, method = tokens_of(features(0)), methods()[affinity]
    first, again, other = (method.call(tokens, method.options(seed=seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_training_lowers_the_loss_and_leaves_the_start_alone() -> None:
    start = random_heads([3], 12)
    before = [part.clone() for part in start.parameters]
    views, inside = token_views(features(3), GRID, seed=3)
    found = train_heads(views[:, None], start, weights_BN=inside[None], epochs=40)
    assert found.losses.shape == (1, 40)
    assert (np.abs(found.losses) <= 1).all()
    assert found.losses[0, -1] < found.losses[0, 0]
    for old, part in zip(before, start.parameters, strict=True):
        assert torch.equal(old, part)


@pytest.mark.parametrize("batch", [None, 2, 7])
def test_images_trained_together_do_not_meet(batch: int | None) -> None:
    def settings(seeds: list[int]) -> dict:
        return {"batch": batch, "epochs": 3, "orders": token_orders(seeds, 48, epochs=3) if batch else None}

    together = trained([0, 1, 2], **settings([0, 1, 2]))
    alone = trained([1], **settings([1]))
    np.testing.assert_allclose(together.losses[1], alone.losses[0], atol=1e-6)
    for many, one in zip(together.heads.parameters, alone.heads.parameters, strict=True):
        np.testing.assert_allclose(many[1], one[0], atol=1e-6)


def test_views_hold_the_tokens_in_place() -> None:
    h, w = 12, 16
    smooth = np.stack([np.sin(np.indices((h, w)) / 9).sum(axis=0), np.cos(np.indices((h, w)) / 7).sum(axis=0)], axis=2)
    rows = smooth.reshape(h * w, 2).astype(np.float32)
    views, inside = token_views(rows, (h, w), seed=0)
    assert inside.mean() > 0.5
    assert np.abs(views[:, inside] - rows[inside]).mean() < 0.02
    assert not np.array_equal(views[0], views[1])
    np.testing.assert_array_equal(token_views(rows, (h, w), seed=0)[0], views)


@pytest.mark.parametrize("grid", [(1, 1), (1, 2), (5, 1)])
def test_views_of_few_tokens(grid: tuple[int, int]) -> None:
    rows = features(0, grid[0] * grid[1])
    for seed in range(20):
        views, inside = token_views(rows, grid, seed=seed)
        assert np.isfinite(views).all()
        assert inside.any()


def test_collapse_is_seen() -> None:
    assert collapsed(torch.ones(1, 5, 3), np.ones((1, 5))).tolist() == [True]
    assert collapsed(torch.randn(1, 5, 3), np.ones((1, 5))).tolist() == [False]
    assert collapsed(torch.ones(1, 1, 3), np.ones((1, 1))).tolist() == [False]


@pytest.mark.parametrize("affinity", ["simsam", "simsam_released", "pca"])
def test_every_projection_in_the_stage(odd_project, affinity: str) -> None:
    odd_project.set({"eigen.affinity": affinity})
    eigen = odd_project.run("eigen")
    together = eigen["eigenvectors"][:], eigen["eigenvalues"][:]
    assert all(np.isfinite(part).all() for part in together)
    assert eigen["degenerate"][1]
    odd_project.set({"index.splits": {"train": {"images": "images/train/[pw]*[3e].png", "labels": None}}})
    for stage in ("index", "features"):
        odd_project.run(stage)
    alone = odd_project.run("eigen")
    wide = together[0].shape[2]
    np.testing.assert_array_equal(alone["eigenvectors"][:], together[0][[5, 6]][:, :, :wide])
    np.testing.assert_array_equal(alone["eigenvalues"][:], together[1][[5, 6]])


def test_options_of_a_projection_are_checked(odd_project) -> None:
    odd_project.set({"eigen.affinity": "pca", "eigen.options": {"epochs": 3}})
    with pytest.raises(
        ParamsError,
        match=r"eigen\.options\.epochs: found 3; affinity: pca does not read it \(read by: simsam\); remove it",
    ):
        odd_project.run("eigen")
    odd_project.set({"eigen.options": {"epohcs": 3}})
    with pytest.raises(ParamsError, match=r"eigen\.options \(pca\)\.epohcs: unknown key .*weight, components"):
        odd_project.run("eigen")
