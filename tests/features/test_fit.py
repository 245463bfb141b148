"""features.fit: how images are brought to whole patches."""

import numpy as np
import pytest
import torch
from PIL import Image

from usseg.pipeline.errors import ParamsError
from usseg.pipeline.images import read_image
from usseg.stages.features.fitting import extended, fitted_image, fitting, normalized, resize_image
from usseg.stages.features.networks import from_state_dict
from usseg.stages.features.stage import embed_crops
from usseg.stages.features.transformer import extract
from usseg.stages.report.token_mask import pixel_mask

SIZE = (50, 90)
ALL = ("index", "features", "eigen", "segments", "crops", "cluster", "assign", "refine", "evaluate", "report")


@pytest.fixture(params=["lowlevel", "checkpoint"])
def project(request, tiny_project, dino_state, save_image, draw_photo):
    """Two images of 50 x 90, patches of 8, by both kinds of backbone."""
    for i in range(2):
        save_image(tiny_project.path / f"data/wide/{i}.png", draw_photo(i, *SIZE))
        save_image(tiny_project.path / f"data/truth/{i}.png", np.tile((np.arange(90) >= 45).astype(np.uint8), (50, 1)))
    split = {"images": "wide/*", "labels": "truth/*"}
    tiny_project.set({"index.splits": {"train": split, "val": split}, "features.resize": None})
    if request.param == "checkpoint":
        torch.save(dino_state, tiny_project.path / "weights.pth")
        settings = {"backbone": "checkpoint", "options": {"weights": "weights.pth", "num_heads": 3}}
        tiny_project.set({f"features.{key}": value for key, value in settings.items()})
    return tiny_project


@pytest.mark.parametrize(
    ("fit", "resize", "grid", "extent", "offset", "stride"),
    [
        ("crop", None, (6, 11), (48, 88), (0, 0), (8, 8)),
        ("pad", None, (7, 12), (56, 96), (0, 0), (8, 8)),
        ("resize", None, (6, 11), (50, 90), (0, 0), (50 / 6, 90 / 11)),
        ("pad", 45, (4, 6), (64, 96), (0, 0), (16, 16)),
        ("pad", [50, 90], (7, 12), (56, 96), (0, 0), (8, 8)),
        ("resize", [9, 21], (1, 3), (50, 90), (0, 0), (50, 30)),
        ("square", 24, (3, 3), (50, 50), (0, 21), (50 / 3, 90 * 8 / 43)),
        ("square", 100, (12, 12), (48, 48), (1, 21), (4, 4)),
    ],
)
def test_arrays(project, fit, resize, grid, extent, offset, stride) -> None:
    project.set({"features.fit": fit, "features.resize": resize})
    project.run("index")
    features = project.run("features")
    assert features["grid"][0].tolist() == list(grid)
    assert features["extent"][0].tolist() == list(extent)
    assert features["offset"][0].tolist() == list(offset)
    np.testing.assert_allclose(features["stride"][0], stride, rtol=1e-6)
    assert features["patches"].shape[1] == grid[0] * grid[1]
    assert np.abs(features["patches"][0]).sum(axis=1).min() > 0


@pytest.mark.parametrize(("fit", "resize"), [("crop", None), ("pad", None), ("resize", None), ("square", 32)])
def test_the_whole_chain_covers_the_image(project, fit, resize) -> None:
    edits = {"features.fit": fit, "features.resize": resize, "crops.method": "crop", "eigen.options.color_weight": 1.0}
    project.set({**edits, "segments.options.num_segments": 2, "segments.background": "none"})
    project.run_all(*ALL)
    maps = project.artifact("refine", "val")["maps"]
    assert maps[0].shape == SIZE
    assert maps[0].min() >= 1
    boxes = project.artifact("crops", "val")["boxes"][:]
    assert (boxes >= 0).all()
    assert (boxes <= [90, 50, 90, 50]).all()
    if fit in ("pad", "resize"):
        assert boxes[0, :, 2].max() == 90
        assert boxes[0, :, 3].max() == 50
    if fit == "square":
        assert boxes[0, :, 0].min() == 19
        assert boxes[0, :, 2].max() == 70


def test_of_a_vit_padding_is_zero_after_normalisation(tiny_project, dino_state, save_image, draw_photo) -> None:
    torch.save(dino_state, tiny_project.path / "weights.pth")
    save_image(tiny_project.path / "data/wide/0.png", draw_photo(3, *SIZE))
    options = {"weights": "weights.pth", "num_heads": 3}
    settings = {"backbone": "checkpoint", "options": options, "fit": "pad", "resize": None}
    tiny_project.set({f"features.{key}": value for key, value in settings.items()})
    tiny_project.set({"index.splits": {"train": {"images": "wide/*", "labels": None}}, "index.fit_split": "train"})
    tiny_project.run("index")
    features = tiny_project.run("features")
    image = read_image(tiny_project.path / "data/wide/0.png")
    vit = from_state_dict(dino_state, num_heads=3)
    batch = torch.nn.functional.pad(normalized([image]), (0, 6, 0, 6))
    np.testing.assert_allclose(features["patches"][0], extract(vit, batch)["k"][0, 1:], atol=1e-4)
    where = {"project": tiny_project.path, "device": "cpu"}
    box = np.array([[9, 4, 12, 7]], np.int32)
    found = embed_crops(features, image, box, [np.ones((3, 3), bool)], **where)
    corner = extract(vit, batch[:, :, 32:56, 72:96])["tokens"][0, 0]
    np.testing.assert_allclose(found[0], corner, atol=1e-4)


def test_of_lowlevel_padding_repeats_the_last_pixels(tiny_project, draw_photo) -> None:
    image = draw_photo(2, 20, 30)
    wide = extended(image, (24, 32))
    np.testing.assert_array_equal(wide[20:], np.repeat(wide[19:20], 4, axis=0))
    np.testing.assert_array_equal(wide[:20, :30], image)
    assert extended(image, (16, 24)) is image


@pytest.mark.parametrize("size", [(50, 90), (90, 50), (40, 40), (1, 300), (640, 481)])
@pytest.mark.parametrize("patch", [8, 14, 16])
def test_square_is_the_middle_of_the_resized_image(draw_photo, size: tuple[int, int], patch: int) -> None:
    image = draw_photo(1, *size)
    used = fitting(size, 64, "square", patch)
    side = 64 // patch * patch
    assert used.grid == (64 // patch, 64 // patch)
    assert min(used.size) == 64
    top, left = used.offset
    whole = resize_image(image, used.size)[top : top + side, left : left + side].astype(int)
    found = fitted_image(image, used, patch)[:side, :side].astype(int)
    assert np.abs(found - whole).max() <= 1  # one resizing is of a part, with the same weights


def test_square_of_an_image_of_the_right_size_is_the_image() -> None:
    image = np.random.default_rng(0).integers(0, 255, (32, 40, 3)).astype(np.uint8)
    np.testing.assert_array_equal(fitted_image(image, fitting((32, 40), 32, "square", 8), 8), image[:, 4:36])
    narrow = Image.fromarray(image).resize((40, 32))
    np.testing.assert_array_equal(np.asarray(narrow), image)


def test_pictures_of_segments_start_at_the_offset() -> None:
    mask = pixel_mask(np.ones((2, 2), bool), (12, 20), [4, 4], [2, 6])
    assert np.argwhere(mask).min(axis=0).tolist() == [2, 6]
    assert np.argwhere(mask).max(axis=0).tolist() == [9, 13]
    assert mask.sum() == 64


@pytest.mark.parametrize(
    ("edits", "line"),
    [
        (
            {"features.fit": "square", "features.resize": None},
            r"features\.resize: found None; fit: square needs a number",
        ),
        ({"features.fit": "square", "features.resize": [9, 9]}, r"features\.resize: found \[9, 9\]; fit: square needs"),
        (
            {"features.fit": "pad", "refine.upsampling": "stretch"},
            r"refine\.upsampling: found 'stretch'; with features\.fit: pad",
        ),
        (
            {"features.fit": "pad", "eigen.options.color_align": "full"},
            r"eigen\.options\.color_align: found 'full'; with features\.fit: pad",
        ),
        ({"features.fit": "stretch"}, r"features\.fit: found 'stretch'"),
    ],
)
def test_what_does_not_fit_is_one_line(tiny_project, edits, line: str) -> None:
    tiny_project.set(edits)
    with pytest.raises(ParamsError, match=line):
        tiny_project.run("index")
