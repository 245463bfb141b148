"""The fine branch of Sempart as a filter: alone, in a list, where the coarse mask is empty, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from usseg.pipeline.errors import ParamsError
from usseg.stages import STAGES
from usseg.stages.grids.upsampling import upsample_shares
from usseg.stages.refine.method import LabelMap
from usseg.stages.refine.methods import METHODS
from usseg.stages.refine.methods.guided_filter import gray_guide, guided_filter
from usseg.stages.refine.methods.sempart import refine

OPTIONS = METHODS["sempart"].options()
SEMPART = {
    "segmenter.method": "sempart",
    "segmenter.options": {"width": 4, "epochs": 2},
    "segments.method": "sempart",
    "segments.background": "border",
    "refine.source": "segments",
    "refine.foreground": True,
    "evaluate.method": "objects",
}


@pytest.fixture
def given() -> LabelMap:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (24, 30, 3)).astype(np.uint8)
    fine = rng.random((24, 30), np.float32)
    labels = np.array([[0, 0], [4, 0]], np.int16)
    return LabelMap(labels=labels, size=(24, 30), extent=None, image=image, fine=fine)


def test_the_fine_mask_takes_the_label_of_the_object(given: LabelMap) -> None:
    refined = refine(given, OPTIONS)
    np.testing.assert_array_equal(refined.labels, np.where(given.fine > 0.5, 4, 0))
    np.testing.assert_array_equal(refined.foreground, np.ceil(given.fine * 255 - 1e-4))
    assert refined.masks is None
    masks = refine(replace(given, masks_wanted=True), OPTIONS).masks
    assert sorted(masks) == [0, 4]
    np.testing.assert_allclose(masks[0] + masks[4], 1)


@pytest.mark.parametrize(("unseen", "found"), [(1, {0, 1}), (0, {0})])
def test_an_object_that_the_coarse_mask_has_missed(given: LabelMap, unseen: int, found: set[int]) -> None:
    empty = replace(given, labels=np.zeros((2, 2), np.int16), unseen=unseen)
    refined = refine(empty, OPTIONS)
    assert set(np.unique(refined.labels)) == found
    assert refined.foreground.max() > 127  # which maxF sees in any case


def test_the_guided_filter_smooths_the_probabilities(given: LabelMap) -> None:
    method = METHODS.entry(["sempart", "guided_filter"])
    refined = method.call(given, method.options())
    soft = guided_filter(given.fine, gray_guide(given.image))
    np.testing.assert_array_equal(refined.labels > 0, soft > 0.5)
    np.testing.assert_allclose(refined.foreground / 255, np.clip(soft, 0, 1), atol=1 / 255)


def test_the_stage_brings_the_fine_mask_to_the_pixels_under_the_grid(odd_project) -> None:
    odd_project.set({**SEMPART, "refine.method": "sempart"})
    segmenter = odd_project.run("segmenter")
    odd_project.run("segments")
    refined, features = odd_project.run("refine"), odd_project.artifact("features")
    from usseg.pipeline.images import read_image

    index = odd_project.artifact("index")
    for i, path in enumerate(index["path"]):
        image = read_image(odd_project.path / "data" / path)
        h, w = features["grid"][i].tolist()
        tokens = features["patches"][i, : h * w].reshape(h, w, -1)
        where = {"extent": tuple(features["extent"][i].tolist()), "offset": tuple(features["offset"][i].tolist())}
        mask = STAGES["segmenter"].offers["fine_mask"](segmenter, image, tokens, **where)
        assert mask.shape == (8 * h, 8 * w)
        share = upsample_shares(mask, image.shape[:2], **where)
        np.testing.assert_array_equal(refined["foreground"][i], np.ceil(share * 255 - 1e-4))
        np.testing.assert_array_equal(refined["maps"][i], share > 0.5)


def test_a_list_of_filters_and_any_workers(odd_project) -> None:
    odd_project.set({**SEMPART, "refine.method": ["sempart", "guided_filter", "bilateral_solver"]})
    odd_project.run("segmenter")
    odd_project.run("segments")
    first = odd_project.run("refine", workers=1)["maps"]
    kept = [first[i] for i in range(len(first))]
    (odd_project.path / "artifacts/refine/train.run.json").unlink()
    second = odd_project.run("refine", workers=2)["maps"]
    for one, other in zip(kept, (second[i] for i in range(len(second))), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ({"segments.method": "fiedler"}, r"segments\.method: found 'fiedler'; refine\.method: sempart"),
        ({"segments.background": "none"}, r"segments\.background: found 'none'"),
        (
            {"refine.source": "assign", "cluster.rows": "tokens", "evaluate.method": "classes"},
            r"cluster\.rows: found 'tokens'",
        ),
        ({"refine.method": ["guided_filter", "sempart"]}, r"refine\.method: .*put it first"),
    ],
)
def test_what_is_impossible_is_one_line(tiny_project, edits: dict, message: str) -> None:
    tiny_project.set({**SEMPART, "refine.method": "sempart", **edits})
    with pytest.raises(ParamsError, match=message):
        tiny_project.run("index")
