"""Requirements for every refine method of the table that brings the given labels to the edges of the image."""

import shutil

import numpy as np
import pytest

from usseg.stages.refine.method import LabelMap, RefineMethod
from usseg.stages.refine.methods import METHODS

SEQUENCES = (["bilateral_solver", "crf"], ["crf", "guided_filter"])
# A filter that reads a trained network makes the map anew: tests/refine/test_sempart.py.
CHOICES = [*(name for name in METHODS if not METHODS[name].reads(METHODS[name].options())), *SEQUENCES]


@pytest.fixture(params=CHOICES, ids=str)
def method(request) -> RefineMethod:
    return METHODS.entry(request.param)


@pytest.fixture
def competes(request) -> bool:
    """Whether labels compete with each other, as in a CRF."""
    return "crf" in request.node.callspec.params["method"]


def coarse(labels: np.ndarray, image: np.ndarray, extent: tuple[int, int] | None = None) -> LabelMap:
    return LabelMap(labels.astype(np.int16), image.shape[:2], extent, image)


def refined(method: RefineMethod, given: LabelMap) -> tuple[np.ndarray, np.ndarray]:
    """Labels and foreground, by default options."""
    found = method.call(given, method.options())
    return found.labels, found.foreground


def slanted(height: int = 64, width: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """Two noisy colours with a slanted border: image, and labels 0 and 3 (height, width)."""
    rng = np.random.default_rng(0)
    right = np.arange(width)[None, :] > width * 0.35 + 0.4 * np.arange(height)[:, None]
    image = np.where(right[..., None], [190, 110, 60], [60, 100, 160]) + rng.normal(0, 6, (height, width, 3))
    return np.clip(image, 0, 255).astype(np.uint8), np.where(right, 3, 0).astype(np.int16)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("grid", [(1, 1), (1, 5), (6, 8)])
@pytest.mark.parametrize("size", [(1, 1), (3, 50), (48, 64)])
@pytest.mark.parametrize("align", [True, False])
def test_maps_are_of_full_size_and_of_the_same_labels(method, grid, size, align: bool) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    labels = np.arange(grid[0] * grid[1]).reshape(grid)
    extent = (max(1, size[0] - 1), max(1, size[1] - 2)) if align else None
    found, foreground = refined(method, coarse(labels, image, extent))
    assert found.shape == foreground.shape == size
    assert (found.dtype, foreground.dtype) == (np.int16, np.uint8)
    assert set(np.unique(found)) <= set(np.unique(labels))
    again = refined(method, coarse(labels.copy(), image, extent))
    np.testing.assert_array_equal(again[0], found)
    np.testing.assert_array_equal(again[1], foreground)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("label", [0, 3])
@pytest.mark.parametrize("image", [slanted()[0], np.full((64, 96, 3), 7, np.uint8)], ids=["photo", "constant"])
def test_a_map_of_one_label_stays(method, label: int, image: np.ndarray) -> None:
    found, foreground = refined(method, coarse(np.full((8, 12), label), image))
    assert (found == label).all()
    assert (foreground == (255 if label else 0)).all()


@pytest.mark.filterwarnings("error")
def test_a_constant_image_tells_nothing(method, competes: bool) -> None:
    labels = np.zeros((8, 12))
    labels[2:6, 3:9] = 1
    image = np.full((64, 96, 3), 200, np.uint8)
    found, _ = refined(method, coarse(labels, image))
    expected = labels.repeat(8, axis=0).repeat(8, axis=1)
    # A CRF may well give all to the larger side, as nothing tells the two apart.
    assert (found == expected).mean() > (0.7 if competes else 0.95)
    # No artefacts at the border of the image, where windows and kernels are cut off.
    np.testing.assert_array_equal(found[[0, -1]], expected[[0, -1]])
    np.testing.assert_array_equal(found[:, [0, -1]], expected[:, [0, -1]])


def test_labels_follow_the_colours(method) -> None:
    image, truth = slanted()
    tokens = truth.reshape(4, 16, 6, 16).mean(axis=(1, 3)) > 1.5
    given = np.where(tokens, 3, 0)
    before = (coarse(given, image).upsampled != truth).mean()
    found, foreground = refined(method, coarse(given, image))
    after = (found != truth).mean()
    assert before > 0.03
    assert after == before if not method.pixels else after < 0.6 * before
    # Above one half is what the labels say, but for shares that are rounded up to it.
    assert ((foreground > 128) <= (found > 0)).all()
    assert ((found > 0) <= (foreground > 127)).mean() > 0.999
    assert len(np.unique(foreground)) > 2 if method.pixels else set(np.unique(foreground)) == {0, 255}


def test_the_foreground_is_all_but_the_background(method, competes: bool) -> None:
    """With several objects the share of foreground is 1 minus that of the background; without background it is 1."""
    image, truth = slanted()
    objects = np.where(truth > 0, np.where(np.arange(64)[:, None] < 32, 1, 2), 0)
    found, foreground = refined(method, coarse(objects[4::8, 4::8], image))
    one, same = refined(method, coarse((objects > 0)[4::8, 4::8], image))
    if not competes:  # else three labels are not two
        np.testing.assert_array_equal(foreground, same)
    assert ((foreground > 127) == (truth > 0)).mean() > 0.9
    assert (refined(method, coarse(objects[4::8, 4::8] + 1, image))[1] == 255).all()


def test_what_is_given_stays_as_it_is(method) -> None:
    image, truth = slanted()
    labels = np.ascontiguousarray(truth[::8, ::8])
    image.flags.writeable = labels.flags.writeable = False
    refined(method, coarse(labels, image))


def test_mirrored_images_have_mirrored_maps(method) -> None:
    image, truth = slanted()
    given = truth[4::8, 4::8]
    found, _ = refined(method, coarse(given, image))
    mirrored, _ = refined(method, coarse(given[:, ::-1], np.ascontiguousarray(image[:, ::-1])))
    assert (mirrored[:, ::-1] != found).mean() < 0.02  # cells and lattices start at the top left


def test_an_object_larger_than_the_background_stays_the_object(method) -> None:
    image, truth = slanted()
    large = np.where(truth, 0, 5)
    large[:, :60] = 5
    image[large == 5] = [60, 100, 160]
    found, _ = refined(method, coarse(large[4::8, 4::8], image))
    assert (found == 5).mean() > 0.5
    assert ((found == 5) != (large == 5)).mean() < 0.05


@pytest.mark.parametrize("name", CHOICES, ids=str)
def test_an_image_has_the_same_map_in_any_company(odd_project, name: str | list[str]) -> None:
    odd_project.set({"refine.method": name})
    odd_project.run_all("segments", "crops", "cluster", "assign")
    together = list(odd_project.run("refine")["maps"])
    labels = odd_project.artifact("assign")["labels"][:]
    names = odd_project.artifact("index")["id"]
    shutil.rmtree(odd_project.path / "artifacts/refine")
    odd_project.set({"index.splits": {"train": {"images": "images/train/[pw]*[3e].png", "labels": None}}})
    for stage in ("index", "features", "eigen", "segments", "crops", "assign"):
        odd_project.run(stage)
    alone, refined = odd_project.artifact("assign")["labels"][:], odd_project.run("refine")["maps"]
    for row, name_ in enumerate(odd_project.artifact("index")["id"]):
        before = list(names).index(name_)
        np.testing.assert_array_equal(alone[row], labels[before, : alone.shape[1]])
        np.testing.assert_array_equal(refined[row], together[before])


@pytest.mark.parametrize("name", CHOICES, ids=str)
def test_every_method_in_the_stage(odd_project, name: str | list[str]) -> None:
    odd_project.set({"refine.method": name})
    odd_project.run_all("segments", "crops", "cluster", "assign")
    refine = odd_project.run("refine")
    for found, labels in zip(refine["maps"], odd_project.artifact("assign")["labels"][:], strict=True):
        assert set(np.unique(found)) <= set(np.unique(labels)) - {-1}
