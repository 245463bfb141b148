"""Sequences of filters: the input of the next filter, options by name, and allowed params."""

import itertools
import pickle
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

from usseg.pipeline import methods
from usseg.pipeline.errors import ParamsError
from usseg.pipeline.plan import plan_of
from usseg.pipeline.project import Project
from usseg.stages import STAGES
from usseg.stages.refine.method import LabelMap, Refined, RefineMethod
from usseg.stages.refine.methods import METHODS, bilateral_solver, crf, guided_filter
from usseg.stages.refine.voting import of_255

INDEX = {"root": "data", "splits": {"train": {"images": "*"}, "val": {"images": "*"}}}
SIZE = (40, 60)
SOFT = ("guided_filter", "bilateral_solver", "crf")


@pytest.fixture
def given() -> LabelMap:
    """Three labels on a coarse grid over a noisy image of three colours."""
    rng = np.random.default_rng(0)
    labels = np.array([[0, 0, 0, 4, 4, 4], [0, 0, 4, 4, 4, 4], [7, 7, 7, 7, 4, 4], [7, 7, 7, 7, 7, 0]], np.int16)
    colors = np.array([[90, 100, 120], [0] * 3, [0] * 3, [0] * 3, [130, 110, 90], [0] * 3, [0] * 3, [100, 130, 90]])
    image = colors[labels].repeat(10, axis=0).repeat(10, axis=1) + rng.normal(0, 20, (*SIZE, 3))
    return LabelMap(labels, SIZE, None, np.clip(image, 0, 255).astype(np.uint8))


def after(given: LabelMap, found: Refined) -> LabelMap:
    """The input of the next filter."""
    return LabelMap(found.labels, SIZE, None, given.image, masks=found.masks)


@pytest.mark.parametrize("name", SOFT)
def test_soft_masks_are_made_where_they_are_wanted(name: str, given: LabelMap) -> None:
    method = METHODS[name]
    plain = method.call(given, method.options())
    assert plain.masks is None
    found = method.call(replace(given, masks_wanted=True), method.options())
    np.testing.assert_array_equal(found.labels, plain.labels)
    np.testing.assert_array_equal(found.foreground, plain.foreground)
    assert list(found.masks) == [0, 4, 7]
    masks = np.stack(list(found.masks.values()))
    assert masks.dtype == np.float32
    assert masks.shape == (3, *SIZE)
    assert masks.min() >= 0
    assert masks.max() <= 1
    assert ((masks > 0.02) & (masks < 0.98)).any()
    np.testing.assert_array_equal(np.array([0, 4, 7])[masks.argmax(axis=0)], found.labels)
    np.testing.assert_allclose(found.foreground, of_255(1 - masks[0]), atol=1)


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(SOFT, 2)))
def test_the_next_filter_takes_the_soft_masks(first: str, second: str, given: LabelMap) -> None:
    method = METHODS.entry([first, second])
    found = method.call(given, method.options())
    one = METHODS[first].call(replace(given, masks_wanted=True), METHODS[first].options())
    expected = METHODS[second].call(after(given, one), METHODS[second].options())
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.foreground, expected.foreground)
    assert found.masks is None
    hard = METHODS[second].call(after(given, replace(one, masks=None)), METHODS[second].options())
    assert (hard.foreground != found.foreground).any()


def test_a_filter_that_gives_no_masks_gives_labels(given: LabelMap, monkeypatch: pytest.MonkeyPatch) -> None:
    def mirrored(given: LabelMap, options: Any) -> Refined:
        labels = np.ascontiguousarray(given.upsampled[:, ::-1])
        return Refined(labels, of_255(labels > 0))

    monkeypatch.setitem(METHODS.loaded, "none", RefineMethod(summary="Mirrored.", call=mirrored, pixels=False))
    monkeypatch.delitem(METHODS.loaded, ("none", "guided_filter"), raising=False)
    method = METHODS.entry(["none", "guided_filter"])
    found = method.call(given, method.options())
    monkeypatch.delitem(METHODS.loaded, ("none", "guided_filter"))
    labels = np.ascontiguousarray(given.upsampled[:, ::-1])
    expected = guided_filter.refine(LabelMap(labels, SIZE, None, given.image), guided_filter.Options())
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.foreground, expected.foreground)


def test_a_filter_twice(given: LabelMap) -> None:
    """With the same options; the second time on its own soft masks."""
    method = METHODS.entry(["guided_filter", "guided_filter"])
    assert list(method.options.model_fields) == ["guided_filter"]
    found = method.call(given, method.options(guided_filter=guided_filter.Options(radius=3)))
    one = guided_filter.refine(replace(given, masks_wanted=True), guided_filter.Options(radius=3))
    expected = guided_filter.refine(after(given, one), guided_filter.Options(radius=3))
    np.testing.assert_array_equal(found.foreground, expected.foreground)
    assert (found.foreground != one.foreground).any()


def test_an_object_that_the_solver_loses_keeps_its_soft_mask(given: LabelMap) -> None:
    labels = np.zeros(SIZE, np.int16)
    labels[20, 30] = 1
    soft = np.where(labels, np.float32(0.6), np.float32(0))
    lost = replace(given, labels=labels, masks={0: 1 - soft, 1: soft})
    found = bilateral_solver.refine(lost, bilateral_solver.Options(min_iou=1.0))
    np.testing.assert_array_equal(found.labels, labels)
    assert found.masks is lost.masks


def test_the_evidence_of_a_crf_is_the_soft_mask(given: LabelMap) -> None:
    """Without kernels the beliefs are floor^(1 - mask), over their sum."""
    soft = np.linspace(0, 1, SIZE[1], dtype=np.float32)[None].repeat(SIZE[0], axis=0)
    labels = np.where(soft > 0.5, 4, 0).astype(np.int16)
    still = crf.Options(bilateral_weight=0, gaussian_weight=0, floor=0.1)
    found = crf.refine(replace(given, labels=labels, masks={0: 1 - soft, 4: soft}), still)
    expected = 0.1 ** (1 - soft) / (0.1 ** (1 - soft) + 0.1**soft)
    np.testing.assert_allclose(found.foreground, 255 * expected, atol=1.1)


def test_a_part_of_an_image_leaves_out_labels_whose_mask_is_zero(given: LabelMap) -> None:
    masks = {0: np.ones(SIZE, np.float32), 4: np.zeros(SIZE, np.float32)}
    masks[4][:, 30:] = 0.5
    part = replace(given, masks=masks).cropped((slice(0, 10), slice(0, 20)))
    assert part.present == [0]
    assert (part.size, part.pixels.shape, part.upsampled.shape) == ((10, 20), (10, 20, 3), (10, 20))
    assert given.cropped((slice(0, 10), slice(0, 20))).present == [0]
    assert replace(given, masks=masks).cropped((slice(0, 10), slice(20, 40))).present == [0, 4]


def opened(tmp_path: Path, **sections: Any) -> Project:
    return Project.of(STAGES, tmp_path, {"index": INDEX, **sections})


def test_options_stand_under_the_name_of_their_filter(tmp_path: Path) -> None:
    refine: Any = {"method": ["bilateral_solver", "crf"], "options": {"crf": {"floor": 0.2}}}
    params: Any = opened(tmp_path, refine=refine).params["refine"]
    assert params.options.crf == crf.Options(floor=0.2)
    assert params.options.bilateral_solver == bilateral_solver.Options()
    again = opened(tmp_path, refine=params.model_dump(mode="json"))
    assert again.params["refine"] == params


@pytest.mark.parametrize(
    ("refine", "line"),
    [
        ({"method": ["crf"]}, r"refine\.method: found \['crf'\]; .*list should have at least 2 items"),
        ({"method": ["crf", "crff"]}, r"refine\.method: found 'crff'; no such method; did you mean 'crf'\?"),
        ({"method": ["none", "crf"]}, r"refine\.method: found \['none', 'crf'\]; none changes nothing; leave it out"),
        (
            {"method": ["guided_filter", "crf"], "options": {"floor": 0.2}},
            r"refine\.options \(guided_filter, crf\)\.floor: unknown key \(known: guided_filter, crf\)",
        ),
        (
            {"method": ["guided_filter", "crf"], "options": {"crf": {"flor": 0.2}}},
            r"refine\.options \(guided_filter, crf\)\.crf\.flor: unknown key; did you mean 'floor'\?",
        ),
        (
            {"method": ["guided_filter", "crf"], "options": {"crf": {"floor": 2.0}}},
            r"refine\.options \(guided_filter, crf\)\.crf\.floor: found 2\.0; input should be less than 1",
        ),
        (
            {"method": ["guided_filter", "crf"], "options": {"crf": {"labels": "each"}}},
            r"refine\.options\.crf\.labels: found 'each'; segments\.background: none leaves",
        ),
    ],
)
def test_what_params_may_not_say(refine: dict[str, Any], line: str, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=rf"(?i)^params\.yaml: {line}"):
        opened(tmp_path, refine=refine, segments={"background": "none"})


def test_a_sequence_in_the_stage(finished_project) -> None:
    """It is recorded, its options are part of the cache key, and it works on workers."""
    finished_project.set({"refine.method": ["bilateral_solver", "crf"]})
    first = finished_project.run("refine")
    assert first.params["method"] == ["bilateral_solver", "crf"]
    assert first.params["options"]["crf"]["floor"] == 0.1
    maps, digest = [part.copy() for part in first["maps"]], first.attrs["digest"]
    finished_project.set({"refine.options.crf.floor": 0.3})
    second = finished_project.run("refine")
    assert second.params["options"]["crf"]["floor"] == 0.3
    assert second.attrs["digest"] != digest
    finished_project.set({"refine.options": {}})
    for found, expected in zip(finished_project.run("refine")["maps"], maps, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_sequence_is_the_same_wherever_it_is_read(tmp_path: Path) -> None:
    project = opened(tmp_path, refine={"method": ["bilateral_solver", "crf"], "options": {"crf": {"floor": 0.2}}})
    there = pickle.loads(cloudpickle.dumps(project)).params["refine"]
    assert there.options.crf == crf.Options(floor=0.2)


def test_the_code_of_an_installed_filter_is_in_the_cache_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "their_filters.py"
    file.write_text("from usseg.stages.refine.methods.crf import METHOD\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    point = EntryPoint("theirs", "their_filters:METHOD", "usseg.refine")
    monkeypatch.setattr(methods, "entry_points", lambda group: [point] if group == "usseg.refine" else [])
    fresh = methods.Methods(METHODS.stage, METHODS.kind, METHODS.package, METHODS.own, sequence=METHODS.sequence)
    monkeypatch.setattr("usseg.stages.refine.methods.METHODS", fresh)
    project = opened(tmp_path, refine={"method": ["guided_filter", "theirs"]})
    assert {"refine", "refine method theirs"} <= set(plan_of(project, "refine", "val")["code"])
    assert "refine method guided_filter" not in plan_of(project, "refine", "val")["code"]
