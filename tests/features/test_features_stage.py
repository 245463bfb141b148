import numpy as np
import pytest
import torch

from usseg.pipeline.errors import ParamsError, WeightsError
from usseg.pipeline.images import read_image
from usseg.stages.features.backbone_cache import loaded
from usseg.stages.features.fitting import normalized
from usseg.stages.features.methods.vit import Transformer
from usseg.stages.features.networks import from_state_dict
from usseg.stages.features.stage import embed_crops
from usseg.stages.features.transformer import extract


def use_checkpoint(project, state, **edits) -> None:
    torch.save(state, project.path / "weights.pth")
    options = {"weights": "weights.pth", "num_heads": 3}
    project.set({"features.backbone": "checkpoint", "features.options": options, **edits})


@pytest.fixture(params=["lowlevel", "checkpoint"])
def project(request, tiny_project, dino_state, save_image, draw_photo):
    """The tiny project with one image of another size, by both kinds of backbone."""
    save_image(tiny_project.path / "data/images/val/wide.png", draw_photo(7, 50, 90))
    save_image(tiny_project.path / "data/labels/val/wide.png", np.zeros((50, 90), np.uint8))
    if request.param == "checkpoint":
        use_checkpoint(tiny_project, dino_state)
    tiny_project.run_all("index")
    return tiny_project


def test_arrays(project) -> None:
    features = project.run("features", "val")
    np.testing.assert_array_equal(features["grid"], [[6, 8], [6, 8], [6, 11]])
    np.testing.assert_array_equal(features["extent"], [[48, 64], [48, 64], [48, 88]])
    np.testing.assert_array_equal(features["stride"], [[8, 8]] * 3)
    patches = features["patches"][:]
    assert patches.dtype == np.float32
    assert patches.shape[1] == 66
    assert np.isfinite(patches).all()
    assert patches[0, 48:].max() == patches[0, 48:].min() == 0  # padding
    assert np.abs(patches[2]).sum(axis=1).min() > 0


def test_an_image_has_the_same_features_in_any_company(project) -> None:
    together = project.run("features", "val")["patches"][:]
    splits = {"val": {"images": "images/val/photo1.png", "labels": None}}
    project.set({"index.splits": splits, "index.fit_split": "val"})
    project.run("index", "val")
    np.testing.assert_array_equal(project.run("features", "val")["patches"][0], together[1, :48])


@pytest.mark.parametrize("batch_size", [1, 3])
def test_batch_size_changes_no_bit(project, batch_size: int) -> None:
    project.run("features", "val", batch_size=8)
    before = project.files("artifacts/features/val.zarr")
    (project.path / "artifacts/features/val.run.json").unlink()
    project.run("features", "val", batch_size=batch_size)
    assert project.files("artifacts/features/val.zarr") == before


def test_batches_of_the_transformer_agree_with_single_images(dino_state) -> None:
    vit = from_state_dict(dino_state, num_heads=3)
    images = torch.randn(3, 3, 48, 64, generator=torch.Generator().manual_seed(1))
    together = extract(vit, images)
    for i in range(3):
        for name, values in extract(vit, images[i : i + 1]).items():
            torch.testing.assert_close(values[0], together[name][i], atol=1e-5, rtol=1e-5)


def test_images_smaller_than_a_patch(tiny_project, save_image, draw_photo) -> None:
    for name, size in (("dot", (1, 1)), ("line", (2, 30)), ("whole", (48, 64))):
        save_image(tiny_project.path / f"data/small/{name}.png", draw_photo(1, *size))
    tiny_project.set({"index.splits": {"train": {"images": "small/*", "labels": None}}})
    tiny_project.run("index")
    features = tiny_project.run("features")
    np.testing.assert_array_equal(features["grid"], [[1, 1], [1, 15], [6, 8]])
    np.testing.assert_array_equal(features["extent"], [[1, 1], [2, 30], [48, 64]])


@pytest.mark.parametrize(("resize", "grid", "stride"), [(32, [3, 4], [16, 16]), ([16, 32], [2, 4], [24, 16])])
def test_resize(tiny_project, resize: int | list[int], grid: list[int], stride: list[int]) -> None:
    tiny_project.set({"features.resize": resize})
    tiny_project.run("index")
    features = tiny_project.run("features")
    assert features["grid"][0].tolist() == grid
    assert features["stride"][0].tolist() == stride
    assert features["extent"][0].tolist() == [48, 64]


@pytest.mark.parametrize("facet", ["key", "query", "value", "token"])
def test_facets_differ(tiny_project, dino_state, facet: str) -> None:
    use_checkpoint(tiny_project, dino_state, **{"features.options.facet": facet, "features.dtype": "float16"})
    tiny_project.run("index")
    patches = tiny_project.run("features")["patches"][:]
    assert patches.dtype == np.float16
    pixels = normalized([read_image(tiny_project.path / "data/images/train/photo0.png")])
    taps = extract(from_state_dict(dino_state, num_heads=3), pixels)
    expected = taps[{"key": "k", "query": "q", "value": "v", "token": "tokens"}[facet]][0, 1:]
    np.testing.assert_allclose(patches[0], expected.numpy(), atol=5e-3)


@pytest.mark.parametrize("method", ["crop", "masked_attention"])
def test_pixels_outside_a_crop_leave_its_embedding_alone(tiny_project, dino_state, draw_photo, method: str) -> None:
    use_checkpoint(tiny_project, dino_state)
    tiny_project.run("index")
    features = tiny_project.run("features")
    image = draw_photo(0)
    boxes = np.array([[2, 1, 5, 4]], np.int32)
    masks = [np.eye(3, dtype=bool)] if method == "masked_attention" else None
    other = image.copy()
    other[:8], other[:, 40:] = 0, 0
    options = {"project": tiny_project.path, "device": "cpu"}
    before = embed_crops(features, image, boxes, masks, **options)
    np.testing.assert_array_equal(embed_crops(features, other, boxes, masks, **options), before)
    other[8:32, 16:40] = 0
    assert not np.array_equal(embed_crops(features, other, boxes, masks, **options), before)


def test_a_truncated_checkpoint_publishes_nothing(tiny_project, dino_state) -> None:
    use_checkpoint(tiny_project, dino_state)
    path = tiny_project.path / "weights.pth"
    path.write_bytes(path.read_bytes()[:-100])
    tiny_project.run("index")
    with pytest.raises(WeightsError, match=r"weights\.pth cannot be read"):
        tiny_project.run("features")
    assert not tiny_project.files("artifacts/features")


def test_features_beyond_float16_name_the_image_and_the_cure(tiny_project, dino_state) -> None:
    dino_state["blocks.1.attn.qkv.weight"] *= 1e5
    use_checkpoint(tiny_project, dino_state, **{"features.dtype": "float16"})
    tiny_project.run("index")
    line = r"^params\.yaml: features\.dtype: found 'float16'; patches of image 'photo0' go beyond the 65504 that it holds; set float32$"
    with pytest.raises(ParamsError, match=line):
        tiny_project.run("features")
    tiny_project.set({"features.dtype": "float32"})
    assert np.isfinite(tiny_project.run("features")["patches"][:]).all()


@pytest.mark.parametrize("name", ["patches", "values", "cls", "class_state"])
def test_features_that_are_not_finite_name_the_image(tiny_project, dino_state, monkeypatch, name) -> None:
    use_checkpoint(tiny_project, dino_state, **{"features.options.attention": True})
    tiny_project.run("index")

    def broken(*args):
        found = described(*args)
        found[name][0, ..., 3] = np.nan
        return found

    described = Transformer.describe
    monkeypatch.setattr(Transformer, "describe", broken)
    line = (
        rf"^params\.yaml: features\.backbone: found 'checkpoint'; {name} of image 'photo0' are not finite; take other"
    )
    with pytest.raises(ParamsError, match=line):
        tiny_project.run("features")


def test_weights_of_another_content_run_again(tiny_project, dino_state) -> None:
    use_checkpoint(tiny_project, dino_state)
    tiny_project.run("index")
    before = tiny_project.run("features")["patches"][:]
    use_checkpoint(tiny_project, {name: 2 * values for name, values in dino_state.items()})
    loaded.cache_clear()  # a command starts with none
    assert not np.allclose(tiny_project.run("features")["patches"][:], before)
