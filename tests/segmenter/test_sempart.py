"""Sempart: its training resumes, cuts out an object, and says where it collapses; its segments are its coarse mask."""

import csv
import logging
from collections.abc import Mapping

import numpy as np
import pytest
import torch

from usseg.pipeline.checkpoint import Checkpoint
from usseg.pipeline.errors import ParamsError
from usseg.stages import STAGES
from usseg.stages.heads.multi_scale import Part
from usseg.stages.segmenter.method import FitImages, FitTokens, Training
from usseg.stages.segmenter.methods import sempart
from usseg.stages.segmenter.photometric import augmented
from usseg.stages.segmenter.stage import constant_line
from usseg.stages.segmenter.views import Views, enlarge

PATCH = 4
QUICK = {"width": 4, "epochs": 2, "batch": 2, "window": 24}


def disc(seed: int, height: int = 24, width: int = 32) -> np.ndarray:
    """A reddish disc on a bluish ground, smaller than half of the image."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    centre = rng.uniform(0.35, 0.65, 2) * (height, width)
    inside = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < (0.3 * height) ** 2
    colors = np.where(inside[..., None], [220, 80, 60], [40, 90, 170]) + rng.normal(0, 8, (height, width, 3))
    return np.clip(colors, 0, 255).astype(np.uint8)


def describe(images) -> np.ndarray:
    """Mean colours of patches, without their mean over all images."""
    h, w = (length // PATCH for length in images[0].shape[:2])
    means = np.stack([image.reshape(h, PATCH, w, PATCH, 3).mean(axis=(1, 3)).reshape(-1, 3) for image in images])
    return (means / 255 - [0.3, 0.35, 0.5]).astype(np.float32)


def fit_tokens(images: list[np.ndarray], *, in_step: bool = False) -> FitTokens:
    grids = np.array([[length // PATCH for length in image.shape[:2]] for image in images])
    read = lambda rows: np.concatenate([describe([images[row]]) for row in rows])  # noqa: E731
    pixels = FitImages(PATCH, grids, images.__getitem__, describe, in_step)
    return FitTokens(grids.prod(axis=1), 3, read, pixels)


PHOTOS = [disc(0), disc(1, 32, 24), disc(2), disc(3, 20, 40), disc(4, 4, 8)]


def fit(images=PHOTOS, checkpoint: Checkpoint | None = None, seed: int = 0, in_step: bool = False, watch=None, **edits):
    options = sempart.Options(**{**QUICK, **edits})
    more = {"watch": watch} if watch else {}
    given = fit_tokens(images, in_step=in_step)
    return sempart.fit(given, seed=seed, options=options, device="cpu", checkpoint=checkpoint or Checkpoint(), **more)


def check_equal(first: Training, second: Training) -> None:
    for name in ("weights", "loss", "concepts"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert first.columns.keys() == second.columns.keys()
    for name in first.columns:
        np.testing.assert_array_equal(first.columns[name], second.columns[name])


ALL_TRICKS = {"consistency": 0.5, "augment": True}


@pytest.mark.parametrize("edits", [{}, ALL_TRICKS])
def test_the_same_seed_gives_the_same_bits(edits: Mapping) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = fit(**edits)
    assert torch.equal(torch.random.get_rng_state(), before)
    check_equal(first, fit(**edits))
    assert (fit(seed=1, **edits).weights != first.weights).any()
    assert np.isfinite(first.weights).all()


@pytest.mark.parametrize("edits", [{}, ALL_TRICKS])
@pytest.mark.parametrize("limit", [1, 3, 6])
def test_a_run_goes_on_from_a_checkpoint(limit: int, edits: Mapping, checkpoints) -> None:
    interrupted = checkpoints(limit=limit)
    with pytest.raises(KeyboardInterrupt):
        fit(checkpoint=interrupted, **edits)
    check_equal(fit(checkpoint=checkpoints(interrupted.kept[-1]), **edits), fit(**edits))


@pytest.mark.parametrize("edits", [{"augment": True}, {"consistency": 0.5}, ALL_TRICKS])
def test_views_that_a_step_describes_are_those_of_the_feed(edits: Mapping) -> None:
    check_equal(fit(in_step=True, **edits), fit(**edits))


def test_the_loss_is_the_weighted_sum_of_its_terms() -> None:
    weights = {"coarse_variation": 0.7, "fine_variation": 0.6, "disagreement": 2.0, "consistency": 0.3}
    training = fit(**weights)
    terms = {"ncut": 1.0, "part_ncut": 0.3, **weights}
    assert set(training.columns) == set(terms)
    expected = sum(weight * training.columns[name] for name, weight in terms.items())
    np.testing.assert_allclose(training.loss, expected, rtol=1e-5)
    assert set(fit().columns) == {"ncut", "coarse_variation", "fine_variation", "disagreement"}


def test_training_cuts_out_the_object_which_is_the_smaller_side() -> None:
    photos = [disc(seed) for seed in range(8)]
    options = {"epochs": 60, "batch": 4, "lr": 0.003, "width": 8, "window": 32}
    for seed in range(2):  # whichever side a seed begins with
        training = fit(photos, seed=seed, **options)
        assert training.columns["ncut"][-1] < 0.4
        settings = {"channels": 3, "patch": PATCH, "options": sempart.Options(**options), "device": "cpu"}
        coarse, fine = sempart.coarse(training.weights, **settings), sempart.fine(training.weights, **settings)
        for photo in (disc(50), disc(51)):
            truth = photo[..., 0] > 130
            tokens = describe([photo])[0]
            mask = fine(tokens.reshape(6, 8, 3), photo)
            assert mask.shape == photo.shape[:2]
            assert ((mask > 0.5) & truth).sum() > 0.65 * ((mask > 0.5) | truth).sum()
            share = coarse(tokens).reshape(6, 8)
            of_tokens = truth.reshape(6, PATCH, 8, PATCH).mean(axis=(1, 3)) > 0.5
            assert (share & of_tokens).sum() > 0.6 * (share | of_tokens).sum()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "images",
    [[np.full((8, 8, 3), 128, np.uint8)] * 3, [disc(0, 4, 4)], [disc(0, 4, 12), disc(1, 12, 4)]],
    ids=["constant", "one token", "rows and columns"],
)
@pytest.mark.parametrize("edits", [{}, ALL_TRICKS])
def test_odd_images(images: list, edits: Mapping) -> None:
    training = fit(images, **edits)
    assert np.isfinite(training.weights).all()
    assert np.isfinite(training.loss).all()
    assert (training.concepts.sum(axis=1) == len(images)).all()


def test_views_are_windows_with_the_stored_tokens_or_described_anew() -> None:
    tokens = fit_tokens(PHOTOS)
    stored = Views(tokens, tokens.images, 16, False, (0.5, "random"), 0)
    parts = stored.of_equal_grid(np.arange(5))
    assert sorted(np.concatenate(parts).tolist()) == [0, 1, 2, 3, 4]
    assert [stored.grid(image) for image in range(5)] == [(4, 4), (4, 4), (4, 4), (4, 4), (1, 2)]
    pixels, values, enlarged, part_values, places = stored.read(np.array([0, 2]), 3)
    assert pixels.shape == enlarged.shape == (2, 16, 16, 3)
    np.testing.assert_allclose(values, describe(list(pixels)), atol=1e-6)  # its tokens have no surroundings
    np.testing.assert_array_equal(part_values, describe(list(enlarged)))
    np.testing.assert_array_equal(enlarged[1], enlarge(pixels[1], Part(*places[1])))
    assert len({stored.read(np.array([0]), epoch)[0].tobytes() for epoch in range(9)}) > 3  # a new window each
    np.testing.assert_array_equal(stored.read(np.array([2]), 3)[0], pixels[1:])  # whatever is read with it
    changed = Views(tokens, tokens.images, 16, True, None, 0).read(np.array([0, 2]), 3)
    np.testing.assert_array_equal(changed[1], describe(list(changed[0])))


def test_augmented_views() -> None:
    image, gray, flipped = disc(0), 0, 0
    for seed in range(300):
        view = augmented(image, np.random.default_rng(seed))
        assert view.shape == image.shape
        gray += bool((view[..., 0] == view[..., 2]).all())
        flipped += np.array_equal(view, image[:, ::-1])
    assert 0.12 < gray / 300 < 0.28
    assert 0.04 < flipped / 300 < 0.13  # half of those with neither jitter nor gray, 0.16


def test_the_alarm_of_a_constant_mask() -> None:
    assert constant_line(np.array([0.99, 0.985])).startswith("the normalised cut is above 0.98")
    for curve in ([], [0.99], [0.99, 0.97]):
        assert not constant_line(np.array(curve))


TINY = {
    "segments.background": "border",
    "segmenter.method": "sempart",
    "segments.method": "sempart",
    "segmenter.options": {"width": 4, "epochs": 2},
}


def test_the_artifact_and_its_segments(odd_project, caplog: pytest.LogCaptureFixture) -> None:
    odd_project.set({**TINY, "segmenter.options": {"width": 4, "epochs": 3, "lr": 1e-9}})
    with caplog.at_level(logging.WARNING, logger="usseg"):
        artifact = odd_project.run("segmenter")
    assert [line.message[:46] for line in caplog.records] == ["segmenter@train: epoch 2: the normalised cut is"[:46]]
    assert artifact["patch"][:].tolist() == [8]
    with (odd_project.path / "plots/segmenter/loss.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["epoch", "loss", "concepts", "ncut", "coarse_variation", "fine_variation", "disagreement"]
    segments, features = odd_project.run("segments"), odd_project.artifact("features")
    for i, (h, w) in enumerate(segments["grid"][:].tolist()):
        labels = STAGES["segmenter"].offers["token_labels"](artifact, features["patches"][i, : h * w])
        np.testing.assert_array_equal(segments["segments"][i, : h * w], labels)
    assert set(np.unique(segments["num_segments"][:])) <= {0, 1}


def test_another_segmenter_is_refused(tiny_project) -> None:
    tiny_project.set({"segments.method": "sempart"})
    with pytest.raises(
        ParamsError, match=r"segmenter\.method: found 'acg'; segments\.method: sempart needs sempart here too"
    ):
        tiny_project.run("segments")


def test_a_loss_that_is_not_finite_is_one_line() -> None:
    tokens = fit_tokens(PHOTOS[:1])
    broken = FitTokens(tokens.counts, 3, lambda rows: tokens.read(rows) * np.float32(np.nan), tokens.images)
    with pytest.raises(ParamsError, match=r"sempart: the loss is nan in epoch 1 of 2; lower segmenter\.options\.lr"):
        sempart.fit(broken, seed=0, options=sempart.Options(**QUICK), device="cpu")
