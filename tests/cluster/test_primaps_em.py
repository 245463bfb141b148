"""PriMaPs-EM: values by hand, a plain float64 twin of the training, and degenerate images."""

import numpy as np
import pytest
import torch

from usseg.pipeline.errors import ParamsError
from usseg.stages.cluster.method import Clustering
from usseg.stages.cluster.methods import kmeans
from usseg.stages.cluster.methods.primaps_em import Options, fit, points, predict, principal_directions, scores
from usseg.stages.cluster.prototypes import (
    UNLABELLED,
    Prototypes,
    focal_loss,
    kmeans_loss,
    majority,
    teacher_decay,
)
from usseg.stages.cluster.rows import in_blocks

SMALL = {"init_epochs": 2, "epochs": 4, "batch": 3}


def photos(count: int = 7, side: int = 4, channels: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of images, float32 (image * token, channel), of three kinds; and proposals, some tokens in none."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 3, (count, side))
    rows = np.eye(3, channels)[np.repeat(kinds, side, axis=1).ravel()] + rng.normal(0, 0.3, (count * side**2, channels))
    proposals = np.tile(np.repeat(np.arange(side), side), count)
    return rows.astype(np.float32), proposals


def test_the_kmeans_loss_by_hand() -> None:
    tokens, directions = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    assert float(kmeans_loss(tokens, directions)) == pytest.approx(-0.9)
    assert float(kmeans_loss(5 * tokens, 3 * directions)) == pytest.approx(-0.9)


def test_the_kmeans_loss_moves_the_winning_prototype_only() -> None:
    directions = torch.tensor([[1.0, 0.1], [0.6, 0.8], [-1.0, 0.0]], requires_grad=True)
    kmeans_loss(torch.tensor([[1.0, 0.0]]), directions).backward()
    assert directions.grad is not None
    assert directions.grad[0].abs().max() > 0
    assert not directions.grad[1:].any()


def test_the_focal_loss_by_hand() -> None:
    """chi is (0.7, 0.3), so that the weights are 0.09 and 0.49."""
    logits = torch.tensor([[0.8, 0.2], [0.6, 0.4]], dtype=torch.float64).log()
    assert float(focal_loss(logits, torch.tensor([0, 1]), gamma=2)) == pytest.approx(0.234533, abs=1e-6)
    assert float(focal_loss(logits, torch.tensor([0, UNLABELLED]), gamma=2)) == pytest.approx(0.010041, abs=1e-6)
    assert float(focal_loss(logits, torch.tensor([UNLABELLED] * 2), gamma=2)) == 0
    plain = -(np.log(0.8) + np.log(0.4)) / 2
    assert float(focal_loss(logits, torch.tensor([0, 1]), gamma=0)) == pytest.approx(plain)


def test_chi_is_constant_for_the_gradient() -> None:
    logits = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.tensor([0, 1, 2, 0, -1, 1])
    focal_loss(logits, labels, gamma=2).backward()
    p = logits.detach().softmax(1).numpy()
    weights = np.where(labels < 0, 0, (1 - p.mean(axis=0))[labels] ** 2)
    expected = weights[:, None] * (p - np.eye(3)[labels]) / 6
    np.testing.assert_allclose(logits.grad, expected, atol=1e-12)


def test_a_proposal_takes_the_class_of_most_of_its_tokens() -> None:
    classes = torch.tensor([3, 3, 5, 5, 3, 1, 7, 2])
    proposals = torch.tensor([1, 1, 1, 2, 2, 0, 4, 0])
    # Proposal 2 is a tie, which the smaller class wins. No token is in proposal 3.
    assert majority(classes, proposals, k=8).tolist() == [3, 3, 3, 3, 3, -1, 7, -1]
    assert majority(classes, torch.zeros(8, dtype=torch.int64), k=8).tolist() == [-1] * 8


def test_the_teacher_by_hand() -> None:
    decays = [teacher_decay(call, largest=0.98) for call in range(51)]
    assert decays[:5] == pytest.approx([0, 0, 2 / 3, 3 / 4, 4 / 5])
    assert decays[48:] == pytest.approx([0.979592, 0.98, 0.98], abs=1e-6)
    student, teacher, found = (*[Prototypes(torch.zeros(1, 1)) for _ in range(2)], [])
    for call in range(5):
        with torch.no_grad():
            student.directions.fill_(call + 1)
            student.lengths.fill_(10 * (call + 1))
        teacher.follow(student, decays[call])
        found.append(teacher.directions.item())
    assert found == pytest.approx([1, 2, 2.3333, 2.75, 3.2], abs=1e-4)
    assert teacher.lengths.item() == pytest.approx(32)


def test_principal_directions_are_those_of_svd() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32) * [1, 2, 3, 4, 5, 6] + 3
    found = principal_directions(in_blocks(rows), 4)
    expected = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)[2][:4]
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-4)
    np.testing.assert_allclose(found @ found.T, np.eye(4), atol=1e-5)
    assert (found[np.arange(4), np.abs(found).argmax(axis=1)] > 0).all()


def adam(values: list[np.ndarray], slopes: list[np.ndarray], state: dict, lr: float) -> None:
    """A step of Adam with its defaults, in place."""
    state["t"] = t = state.get("t", 0) + 1
    for i, (value, slope) in enumerate(zip(values, slopes, strict=True)):
        m, v = state.get(i, (0, 0))
        state[i] = m, v = 0.9 * m + 0.1 * slope, 0.999 * v + 0.001 * slope**2
        value[...] = value - lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def through_norm(directions: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """The gradient of directions from that of unit directions."""
    own = unit(directions)
    return (slope - own * (own * slope).sum(axis=1, keepdims=True)) / np.linalg.norm(directions, axis=1, keepdims=True)


def twin(rows: np.ndarray, proposals: np.ndarray, start: np.ndarray, options: Options, tokens: int, seed: int):
    """The whole training in float64 NumPy: teacher and student (K, C), the losses, and the votes."""
    data, own = rows.reshape(-1, tokens, rows.shape[1]).astype(np.float64), proposals.reshape(-1, tokens)
    count, k, state_a, state_b = len(data), len(start), {}, {}
    v, losses, votes, calls, steps = start.astype(np.float64), [], [], 0, 0
    for epoch in range(options.init_epochs + options.epochs):
        order = np.random.default_rng([seed, epoch]).permutation(count)
        batch_losses, batch_votes = [], np.zeros(k, np.int64)
        for first in range(0, count - options.batch + 1, options.batch):
            images = np.sort(order[first : first + options.batch])
            x = data[images].reshape(-1, rows.shape[1])
            if epoch < options.init_epochs:
                cosines = unit(x) @ unit(v).T
                winner = cosines.argmax(axis=1)
                batch_losses.append(-cosines.max(axis=1).mean())
                slope = -np.eye(k)[winner].T @ unit(x) / len(x)
                adam([v], [through_norm(v, slope)], state_a, options.lr)
                continue
            if steps == 0:
                sv, sg, tv, tg = v.copy(), np.ones(k), v.copy(), np.ones(k)
            elif steps % options.teacher_steps == 0:
                decay = 0 if calls < 2 else min(calls / (calls + 1), options.teacher_decay)
                tv, tg, calls = decay * tv + (1 - decay) * sv, decay * tg + (1 - decay) * sg, calls + 1
            y = (x @ (tg[:, None] * unit(tv)).T).argmax(axis=1)
            labels = np.full(len(x), -1)
            image = np.repeat(np.arange(len(images)), tokens)
            for i in range(len(images)):
                for one in set(own[images[i]].tolist()) - {0}:
                    inside = (image == i) & (own[images].ravel() == one)
                    labels[inside] = np.bincount(y[inside], minlength=k).argmax()
            batch_votes += np.bincount(labels[labels >= 0], minlength=k)
            w = sg[:, None] * unit(sv)
            z = options.logit_scale * (x @ w.T)
            p = np.exp(z - z.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            weights = np.where(labels < 0, 0, (1 - p.mean(axis=0))[labels] ** options.gamma)
            batch_losses.append((-weights * np.log(p[np.arange(len(x)), labels])).mean())
            slope = (weights[:, None] * (p - np.eye(k)[labels])).T @ x * options.logit_scale / len(x)
            adam(
                [sv, sg],
                [through_norm(sv, sg[:, None] * slope), (slope * unit(sv)).sum(axis=1)],
                state_b,
                options.lr,
            )
            steps += 1
        losses.append(np.mean(batch_losses))
        votes.append(batch_votes)
    return tg[:, None] * unit(tv), sg[:, None] * unit(sv), np.array(losses), np.array(votes[options.init_epochs :])


@pytest.mark.parametrize("scale", [1.0, 4.0])
@pytest.mark.parametrize("result", ["teacher", "student"])
def test_the_training_is_that_of_a_plain_twin(images, scale: float, result: str) -> None:
    rows, proposals = photos()
    options = Options(**SMALL, logit_scale=scale, teacher_steps=2, gamma=1.5, result=result)
    found = fit(rows, np.ones(len(rows)), images=images(rows, proposals, most=16), k=3, seed=4, options=options)
    start = principal_directions(in_blocks(rows), 3)
    teacher, student, losses, votes = twin(rows, proposals, start, options, 16, 4)
    np.testing.assert_allclose(found.centers, teacher if result == "teacher" else student, atol=2e-5)
    np.testing.assert_allclose(found.history, losses, atol=2e-5)
    np.testing.assert_array_equal(found.votes, votes)
    assert np.abs(teacher - student).max() > 1e-3
    both = found.weights.reshape(2, -1)
    for flat, expected in zip(both, (teacher, student), strict=True):
        np.testing.assert_allclose(flat[15:, None] * unit(flat[:15].reshape(3, 5)), expected, atol=2e-5)


def test_images_of_different_sizes_are_one_batch(images) -> None:
    """chi and the mean are of the whole batch, and proposals of different images are different."""
    rows, proposals = photos()
    options = Options(init_epochs=1, epochs=2, batch=2)
    short = images(rows[:24], proposals[:24], most=16)  # 16 tokens, then 8
    assert short.counts.tolist() == [16, 8]
    found = fit(rows[:24], np.ones(24), images=short, k=2, seed=0, options=options)
    start = principal_directions(in_blocks(rows[:24]), 2)
    longer = np.where((np.arange(24) < 16) | (proposals[:24] == 0), proposals[:24], proposals[:24] + 4)
    expected = twin(rows[:24], longer, start, Options(init_epochs=1, epochs=2, batch=1), 24, 0)
    np.testing.assert_allclose(found.centers, expected[0], atol=2e-5)
    np.testing.assert_array_equal(found.votes, expected[3])


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 9, 11])
def test_a_training_goes_on_from_a_checkpoint_with_the_same_bytes(limit: int, checkpoints, images) -> None:
    """Before EM, at its first step, and within an epoch. There are 2 steps an epoch."""
    rows, proposals = photos()
    options = Options(**SMALL, teacher_steps=3)
    run = {"images": images(rows, proposals, most=16), "k": 3, "seed": 0, "options": options}
    interrupted = checkpoints(limit=limit)
    with pytest.raises(KeyboardInterrupt):
        fit(rows, np.ones(len(rows)), checkpoint=interrupted, **run)
    rest = checkpoints(interrupted.kept[-1])
    found, whole = fit(rows, np.ones(112), checkpoint=rest, **run), fit(rows, np.ones(112), **run)
    assert len(rest.kept) == 1 + 12 - limit
    for name in ("centers", "history", "weights", "votes"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("start", ["pca", "random", "kmeans"])
@pytest.mark.parametrize(
    ("rows", "proposals"),
    [
        (photos()[0], np.ones(112, int)),
        (photos()[0], np.zeros(112, int)),
        (photos()[0], np.where(np.arange(112) < 64, photos()[1], 0)),
        (np.ones((112, 5), np.float32), photos()[1]),
        (np.zeros((112, 5), np.float32), photos()[1]),
    ],
    ids=["one proposal", "no proposal", "no proposal in some images", "equal tokens", "zero tokens"],
)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_degenerate_images(k: int, start: str, rows: np.ndarray, proposals: np.ndarray, images) -> None:
    options = Options(**SMALL, start=start)
    found = fit(rows, np.ones(112), images=images(rows, proposals, most=16), k=k, seed=0, options=options)
    for values in (found.centers, found.history, found.weights):
        assert np.isfinite(values).all()
    assert 1 <= len(found.centers) <= k
    covered = (proposals.reshape(-1, 16) > 0).sum(axis=1)
    votes = found.votes.sum(axis=1)
    assert (votes <= np.sort(covered)[-6:].sum()).all()  # an epoch has 2 batches of 3 of the 7 images
    assert (votes == 0).all() == (not covered.any())


def test_where_no_token_is_in_a_proposal_nothing_is_learned(images) -> None:
    rows, _ = photos()
    none = images(rows, np.zeros(112, int), most=16)
    found = fit(rows, np.ones(112), images=none, k=3, seed=0, options=Options(init_epochs=0, epochs=2, batch=3))
    np.testing.assert_allclose(found.centers, principal_directions(in_blocks(rows), 3), atol=1e-6)
    assert not found.history.any()


def test_em_without_a_first_phase_starts_from_the_centres_of_kmeans(images) -> None:
    rows, proposals = photos()
    options = Options(start="kmeans", init_epochs=0, epochs=1, batch=100, lr=1e-9)
    found = fit(rows, np.ones(112), images=images(rows, proposals, most=16), k=3, seed=0, options=options)
    cosine = kmeans.Options(metric="cosine")
    centers = kmeans.fit(rows, np.ones(112), k=3, seed=0, options=cosine).centers
    np.testing.assert_allclose(found.centers, centers, atol=1e-6)
    labels = kmeans.predict(Clustering(centers, np.zeros(1)), rows, cosine)
    np.testing.assert_array_equal(predict(found, rows, options), labels)


def test_more_clusters_than_channels_are_one_line(images) -> None:
    rows, proposals = photos()
    run = {"images": images(rows, proposals, most=16), "k": 6, "seed": 0}
    with pytest.raises(ParamsError, match=r"cluster\.k: found 6; .* there are 5 channels; set start: kmeans or random"):
        fit(rows, np.ones(112), options=Options(**SMALL), **run)
    assert len(fit(rows, np.ones(112), options=Options(**SMALL, start="random"), **run).centers) == 6


def test_a_loss_that_is_not_finite_is_one_line(images) -> None:
    rows, proposals = photos()
    broken = images(np.full_like(rows, np.nan), proposals, most=16)
    with pytest.raises(ParamsError, match=r"primaps_em: the loss is nan in epoch 1 of 6; lower cluster\.options\.lr"):
        fit(rows, np.ones(112), images=broken, k=3, seed=0, options=Options(**SMALL))


def test_scores_are_linear_and_points_have_the_same_nearest_centre() -> None:
    rng = np.random.default_rng(0)
    clustering = Clustering(rng.normal(size=(4, 5)).astype(np.float32), np.zeros(1))
    rows = rng.normal(size=(30, 5)).astype(np.float32)
    between = 0.3 * scores(clustering, rows[:1], Options()) + 0.7 * scores(clustering, rows[1:2], Options())
    np.testing.assert_allclose(scores(clustering, 0.3 * rows[:1] + 0.7 * rows[1:2], Options()), between, atol=1e-5)
    at, centers = points(clustering, rows, Options())
    np.testing.assert_array_equal(
        ((at[:, None] - centers) ** 2).sum(axis=2).argmin(axis=1), predict(clustering, rows, Options())
    )
