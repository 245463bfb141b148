import re

import numpy as np
import pytest
import torch

from usseg.pipeline.errors import ImageError, ParamsError
from usseg.stages import STAGES
from usseg.stages.crops.method import BoxOptions
from usseg.stages.crops.methods import METHODS as TABLE

METHODS = list(TABLE)
CASES = [("vit", m) for m in METHODS] + [("lowlevel", m) for m in METHODS if m != "masked_image"]  # that wants a ViT


@pytest.fixture
def project(odd_project):
    odd_project.run_all("segments")
    return odd_project


@pytest.fixture(scope="session")
def odd_vit(odd, tmp_path_factory: pytest.TempPathFactory, copied):
    """The odd project with segments by a small random ViT; copy it, never write to it."""
    from timm.models.vision_transformer import VisionTransformer

    project = copied(odd, tmp_path_factory.mktemp("odd_vit"))
    generator = torch.Generator().manual_seed(0)
    model = VisionTransformer(img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3, num_classes=0)
    state = {key: torch.randn(value.shape, generator=generator) * 0.2 for key, value in model.state_dict().items()}
    torch.save(state, project.path / "weights.pth")
    options = {"weights": "weights.pth", "num_heads": 3, "attention": True}
    project.set({"features.backbone": "checkpoint", "features.options": options})
    project.run_all("features", "eigen", "segments")
    return project.path


@pytest.fixture
def case(request, odd, odd_vit, copied, tmp_path):
    """A copy of the odd project with segments, by either backbone, and the method set."""
    backbone, method = request.param
    project = copied(odd_vit if backbone == "vit" else odd, tmp_path)
    project.set({"crops.method": method})
    if backbone == "lowlevel":
        project.run("segments")
    return project


every_method = pytest.mark.parametrize("case", CASES, indirect=True, ids="-".join)


def test_every_method_draws_boxes() -> None:
    for name in METHODS:
        assert issubclass(TABLE[name].options, BoxOptions), name


def test_spread_doubles_the_mean(project) -> None:
    project.set({"crops.method": "mean"})
    mean = project.run("crops")["features"][:]
    project.set({"crops.options.spread": True})
    both = project.run("crops")["features"][:]
    channels = mean.shape[2]
    np.testing.assert_array_equal(both[:, :, :channels], mean)
    assert both.shape[2] == 2 * channels
    assert both[:, :, channels:].max() > 0


@every_method
def test_every_method_on_odd_images(case) -> None:
    project = case
    crops, segments = project.run("crops"), project.artifact("segments")
    sizes, features, boxes, area = (
        project.artifact("index")["size"][:],
        crops["features"][:],
        crops["boxes"][:],
        crops["area"][:],
    )
    np.testing.assert_array_equal(crops["num_segments"], segments["num_segments"])
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    for row, count in enumerate(crops["num_segments"]):
        assert np.abs(features[row, :count]).sum(axis=1).all()
        assert not features[row, count:].any()
        x0, y0, x1, y1 = boxes[row, :count].T
        assert (x0 >= 0).all() and (x0 < x1).all() and (x1 <= sizes[row, 1]).all()  # noqa: PT018
        assert (y0 >= 0).all() and (y0 < y1).all() and (y1 <= sizes[row, 0]).all()  # noqa: PT018
        np.testing.assert_allclose(area[row].sum(), 1, atol=1e-6)  # background: none


@every_method
def test_an_image_has_the_same_rows_in_any_company(case) -> None:
    project = case
    crops = project.run("crops")
    count = int(crops["num_segments"][4])
    together = crops["features"][4, :count]
    project.set({"index.splits": {"train": {"images": "images/train/photo2.png", "labels": None}}})
    for stage in ("index", "features", "eigen", "segments"):
        project.run(stage)
    np.testing.assert_array_equal(project.run("crops")["features"][0], together)


@every_method
def test_an_image_of_background_only_has_no_rows(case) -> None:
    project = case
    project.set({"segments.background": "border", "segments.options.num_segments": 1})
    project.run("segments")
    crops = project.run("crops")
    assert not crops["num_segments"][:].any()
    assert not crops["features"][:].any()


def test_masked_image_wants_the_stored_attention(project) -> None:
    project.set({"crops.method": "masked_image"})
    with pytest.raises(ParamsError, match=r"needs features\.options\.attention: true"):
        project.run("crops")
    project.set({"features.options.attention": True})
    line = r"features\.options\.attention: found True; backbone: lowlevel does not read it \(read by: vit, checkpoint\)"
    with pytest.raises(ParamsError, match=line):
        project.run("features")


@pytest.mark.parametrize("method", ["crop", "masked_attention", "masked_image"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_features_that_are_not_finite_name_image_segment_and_cure(
    odd_vit, copied, tmp_path, monkeypatch: pytest.MonkeyPatch, method: str, value: float
) -> None:
    project = copied(odd_vit, tmp_path)
    project.set({"crops.method": method})
    name = "embed_segments" if method == "masked_image" else "embed_crops"

    def broken(*args, **options):
        found = embed(*args, **options)
        found[-1, 3] = value
        return found

    functions = STAGES["features"].offers
    embed = functions[name]
    monkeypatch.setitem(functions, name, broken)
    counts = project.artifact("segments")["num_segments"][:]
    row = int(np.flatnonzero(counts)[0])
    image = project.artifact("index")["id"][row]
    line = (
        rf"^crops@train: segment {counts[row]} of image '{re.escape(image)}' has features that are not finite by "
        rf"crops\.method: {method}; take another method, other weights of the backbone, or features\.options\.precision: float32$"
    )
    with pytest.raises(ImageError, match=line):
        project.run("crops")
    assert not list(project.path.glob("artifacts/crops/train.zarr"))
