import numpy as np
import pytest

from pipeline.errors import ParamsError
from stages.crops.stage import CropsParams

METHODS = [m for m in CropsParams.model_fields["method"].annotation.__args__ if m != "masked_image"]  # wants a ViT


@pytest.fixture
def project(odd_project):
    odd_project.run_all("segments")
    return odd_project


@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_on_odd_images(project, method: str, spread: bool) -> None:
    project.set({"crops.method": method, "crops.spread": spread})
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


@pytest.mark.parametrize("method", METHODS)
def test_an_image_has_the_same_rows_in_any_company(project, method: str) -> None:
    project.set({"crops.method": method})
    crops = project.run("crops")
    count = int(crops["num_segments"][4])
    together = crops["features"][4, :count]
    project.set({"index.splits": {"train": {"images": "images/train/photo2.png", "labels": None}}})
    for stage in ("index", "features", "eigen", "segments"):
        project.run(stage)
    np.testing.assert_array_equal(project.run("crops")["features"][0], together)


def test_an_image_of_background_only_has_no_rows(project) -> None:
    project.set({"segments.background": "border", "segments.num_segments": 1})
    project.run("segments")
    crops = project.run("crops")
    assert not crops["num_segments"][:].any()
    assert not crops["features"][:].any()


def test_masked_image_wants_the_stored_attention(project) -> None:
    project.set({"crops.method": "masked_image"})
    with pytest.raises(ParamsError, match=r"needs features\.attention: true"):
        project.run("crops")
    project.set({"features.attention": True})
    with pytest.raises(ParamsError, match=r"features\.attention: needs a ViT"):
        project.run("features")
