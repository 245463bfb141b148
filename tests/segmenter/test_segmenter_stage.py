"""The stage segmenter: training, memory, history and warnings, and the segments from its weights."""

import csv
import logging

import numpy as np
import pytest
import torch

from usseg.pipeline import feed
from usseg.pipeline.checkpoint import Checkpoint
from usseg.pipeline.errors import ArtifactError, ParamsError
from usseg.stages import STAGES
from usseg.stages.segmenter import stage
from usseg.stages.segmenter.method import FitTokens, Training
from usseg.stages.segmenter.methods import METHODS, acg
from usseg.stages.segmenter.stage import PATIENCE, collapsed

QUICK = {"epochs": 4, "prototypes": 3, "updates": 1, "heads": 2, "hidden": 8}


def images(*counts: int, channels: int = 5, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(count, channels)).astype(np.float32) + np.eye(channels)[0] for count in counts]


def tokens_of(values: list[np.ndarray]) -> FitTokens:
    return FitTokens(
        np.array([len(image) for image in values]),
        values[0].shape[1],
        lambda rows: np.stack([values[row] for row in rows]).astype(np.float32),
    )


def fit(values: list[np.ndarray], checkpoint: Checkpoint | None = None, seed: int = 0, run=None, **edits) -> Training:
    options = acg.Options(**{**QUICK, **edits})
    run = {"checkpoint": checkpoint or Checkpoint()} | (run or {})
    return acg.fit(tokens_of(values), seed=seed, options=options, device="cpu", **run)


def check_equal(first: Training, second: Training) -> None:
    for name in ("weights", "loss", "concepts"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_the_same_seed_gives_the_same_bits_and_the_seed_of_others_is_left_alone() -> None:
    values = images(6, 9, 6, 6)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = fit(values, batch=2)
    assert torch.equal(torch.random.get_rng_state(), before)
    check_equal(first, fit(values, batch=2))
    assert (fit(values, batch=2, seed=1).weights != first.weights).any()


@pytest.mark.parametrize("limit", [1, 2, 5, 8])
def test_a_run_goes_on_from_a_checkpoint_as_if_nothing_had_happened(limit: int, checkpoints) -> None:
    values = images(6, 9, 6, 6)
    interrupted = checkpoints(limit=limit)
    with pytest.raises(KeyboardInterrupt):
        fit(values, interrupted, batch=2)
    rest, shown, seen = checkpoints(interrupted.kept[-1]), [], []
    run = {
        "progress": lambda *counts: shown.append(counts),
        "watch": lambda concepts, columns: seen.append(len(concepts)),
    }
    check_equal(fit(values, rest, run=run, batch=2), fit(values, batch=2))
    assert shown == [(2 * step, 16) for step in range(limit, 9)]
    assert seen == list(range(limit // 2 + 1, 5))


def test_training_lowers_the_loss_and_tells_parts_apart() -> None:
    rng = np.random.default_rng(0)
    parts = [np.repeat(rng.permutation(np.eye(6))[:3], 8, axis=0) + rng.normal(0, 0.05, (24, 6)) for _ in range(6)]
    values = [part.astype(np.float32) for part in parts]
    training = fit(values, prototypes=6, updates=3, epochs=200, lr=0.003, hidden=32)
    assert training.loss[-5:].mean() < training.loss[0] - 0.1
    options = acg.Options(**{**QUICK, "prototypes": 6, "updates": 3, "hidden": 32})
    label = acg.segmenter(training.weights, channels=6, options=options, device="cpu")
    found = [label(image).reshape(3, 8) for image in values]
    assert np.mean([len({np.bincount(row).argmax() for row in part}) == 3 for part in found]) > 0.5


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "values",
    [
        [np.ones((4, 5), np.float32)] * 3,
        images(1, 1),
        images(7),
        [np.zeros((4, 5), np.float32), *images(4, 1)],
        [-np.eye(2, 5, dtype=np.float32)],
        [1e8 * image.astype(np.float32) for image in images(5, 5)],
        images(6, 2, channels=1),
    ],
    ids=["constant", "one token", "one image", "a zero image", "no edges", "huge", "one channel"],
)
@pytest.mark.parametrize(
    "edits", [{}, {"prototypes": 1}, {"prototypes": 20, "batch": 1}, {"zero_diag": False}], ids=str
)
def test_odd_images(values: list[np.ndarray], edits: dict) -> None:
    training = fit(values, **edits)
    options = acg.Options(**{**QUICK, **edits})
    assert training.weights.dtype == np.float32
    assert training.loss.shape == (4,)
    assert training.concepts.shape == (4, options.prototypes)
    assert (training.concepts.sum(axis=1) == len(values)).all()
    for array in (training.weights, training.loss):
        assert np.isfinite(array).all()
    assert (np.abs(training.loss) <= 1 + 1e-6).all()
    label = acg.segmenter(training.weights, channels=values[0].shape[1], options=options, device="cpu")
    for image in values:
        labels = label(image)
        assert labels.dtype == np.int64
        assert labels.shape == (len(image),)
        assert 0 <= labels.min() <= labels.max() < options.prototypes
        if (image == image[0]).all():
            assert len(set(labels.tolist())) == 1


def test_a_step_is_that_of_the_mean_over_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """However the batch is shared out."""
    from usseg.stages.segmenter import modularity

    values = images(6, 9, 6, 6, 9)
    whole = fit(values, dropout=0.0, epochs=3)
    monkeypatch.setitem(modularity.PAIRS, "cpu", 40)  # an image at a time, a row at a time
    parts = fit(values, dropout=0.0, epochs=3)
    np.testing.assert_allclose(parts.loss, whole.loss, atol=1e-6)
    np.testing.assert_allclose(parts.weights, whole.weights, atol=1e-4)


def test_images_of_a_part_have_equally_many_tokens() -> None:
    tokens = tokens_of(images(6, 9, 6, 6, 9, 2))
    for asked, pairs, parts in [
        ([5, 4, 3, 2, 0], 72, [[5], [3, 2], [0], [4]]),
        ([0, 2, 3], 1, [[0], [2], [3]]),
    ]:
        found = tokens.of_equal_count(np.array(asked), pairs=pairs)
        assert [part.tolist() for part in found] == parts


def test_few_images_are_read_at_a_time_and_those_on_the_device_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from usseg.stages.segmenter import modularity

    values = images(6, 9, 6, 6, 6)
    monkeypatch.setitem(modularity.PAIRS, "cpu", 2 * 6 * 6)
    expected = fit(values, batch=4)
    asked: list[list[int]] = []

    def read(rows: np.ndarray) -> np.ndarray:
        asked.append(rows.tolist())
        return tokens_of(values).read(rows)

    def train() -> list[int]:
        asked.clear()
        tokens = FitTokens(np.array([6, 9, 6, 6, 6]), 5, read)
        check_equal(acg.fit(tokens, seed=0, options=acg.Options(**QUICK, batch=4), device="cpu"), expected)
        assert max(len(rows) for rows in asked) == 2
        return sorted(row for rows in asked for row in rows)

    assert train() == sorted([0, 1, 2, 3, 4] * 4)
    monkeypatch.setattr(feed, "fits_on_gpu", lambda size, device: size == 4 * 5 * 33)
    assert train() == [0, 1, 2, 3, 4]


def test_a_loss_that_is_not_finite_is_one_line() -> None:
    values = [np.full((4, 5), np.nan, np.float32)]
    with pytest.raises(ParamsError, match=r"acg: the loss is nan in epoch 1 of 4; lower segmenter\.options\.lr"):
        fit(values)


def test_the_artifact_and_its_curve(odd_project) -> None:
    odd_project.set({"segments.method": "acg", "segmenter.options": QUICK})
    artifact = odd_project.run("segmenter")
    assert artifact["loss"][:].shape == (4,)
    assert (artifact["concepts"][:].sum(axis=1) == 7).all()
    with (odd_project.path / "plots/segmenter/loss.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    np.testing.assert_allclose([float(row["loss"]) for row in rows], artifact["loss"][:], atol=1e-6)
    np.testing.assert_allclose(
        [float(row["concepts"]) for row in rows], artifact["concepts"][:] @ [1, 2, 3] / 7, atol=1e-4
    )
    weights = artifact["weights"][:]
    odd_project.set({"segmenter.seed": 1})
    assert (odd_project.run("segmenter")["weights"][:] != weights).any()


def test_segments_by_the_model(odd_project) -> None:
    odd_project.set({"segments.method": "acg", "segments.background": "none"})
    segments, features = odd_project.run("segments"), odd_project.artifact("features")
    model = STAGES["segmenter"].offers["token_labels"]
    for i, (h, w) in enumerate(segments["grid"][:].tolist()):
        labels = model(odd_project.artifact("segmenter"), features["patches"][i, : h * w])
        ids = segments["segments"][i, : h * w]
        np.testing.assert_array_equal(np.unique(labels, return_inverse=True)[1] + 1, ids)


def test_without_a_model_the_remedy_is_named(tiny_project) -> None:
    tiny_project.set({"segments.method": "acg"})
    tiny_project.run_all("index", "features")
    with pytest.raises(
        ArtifactError, match=r"segments needs artifacts/segmenter/train\.zarr; run: usseg stage segmenter"
    ):
        tiny_project.run("segments", "val")
    tiny_project.run("segmenter")
    tiny_project.run("segments", "val")


def test_collapse_is_said_once(odd_project, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "ONE_CONCEPT", 0.0)
    odd_project.set({"segments.method": "acg", "segmenter.options": {**QUICK, "epochs": 3 * PATIENCE}})
    with caplog.at_level(logging.WARNING, logger="usseg"):
        odd_project.run("segmenter")
    assert [record.message[:30] for record in caplog.records] == [
        f"segmenter@train: epoch {PATIENCE}: for {PATIENCE} epochs"[:30]
    ]


def test_collapse_is_nearly_every_image_for_several_epochs() -> None:
    one, two = [96, 4, 0], [94, 6, 0]
    assert collapsed(np.array([two] + [one] * PATIENCE))
    assert not collapsed(np.array([one] * (PATIENCE - 1)))
    assert not collapsed(np.array([[100]] * PATIENCE)), "as was asked for"
    assert not collapsed(np.array([one] * 9 + [two] + [one] * (PATIENCE - 1)))


@pytest.mark.parametrize("name", METHODS)
def test_refused_options(odd_project, name: str) -> None:
    odd_project.set({"segmenter.method": name, "segmenter.options": {"epoch": 3}})
    with pytest.raises(ParamsError, match=rf"segmenter\.options \({name}\)\.epoch: unknown key; did you mean 'epochs'"):
        odd_project.run("segmenter")
