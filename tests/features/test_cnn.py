"""Features of a layer of convolutional networks. Weights are random or from a file; nothing is downloaded."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch.nn import functional

from usseg.pipeline.errors import ParamsError, WeightsError
from usseg.pipeline.images import read_image
from usseg.stages.features.convolutional import load_cnn, pooled
from usseg.stages.features.fitting import normalized
from usseg.stages.features.stage import embed_crops

CHANNELS = {8: 128, 16: 256}  # of resnet18


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random resnet18 whose batch norms shift and scale."""
    torch.manual_seed(0)
    state = timm.create_model("resnet18").state_dict()
    for key, value in state.items():
        if value.is_floating_point() and value.ndim == 1:
            state[key] = value + 0.1 * torch.rand(value.shape)
    path = tmp_path_factory.mktemp("cnn") / "resnet18.pth"
    torch.save(state, path)
    return path


@pytest.fixture
def project(tiny_project, weights: Path, save_image, draw_photo):
    """The tiny project and a wide image, by resnet18 at stride 8."""
    save_image(tiny_project.path / "data/images/train/wide.png", draw_photo(7, 50, 90))
    save_image(tiny_project.path / "data/labels/train/wide.png", np.zeros((50, 90), np.uint8))
    options = {"name": "resnet18", "stride": 8, "weights": str(weights)}
    tiny_project.set({"features.backbone": "cnn", "features.options": options})
    tiny_project.run_all("index")
    return tiny_project


def whole_network(weights: Path) -> Any:
    model = timm.create_model("resnet18").eval()
    model.load_state_dict(torch.load(weights, weights_only=True))
    return model


def layer2(weights: Path, images: torch.Tensor) -> torch.Tensor:
    """The map with a stride of 8, written out."""
    model = whole_network(weights)
    with torch.inference_mode():
        found = model.maxpool(model.act1(model.bn1(model.conv1(images))))
        return model.layer2(model.layer1(found))


@pytest.mark.parametrize("stride", CHANNELS)
def test_tokens_are_the_vectors_of_the_layer(project, weights: Path, stride: int) -> None:
    project.set({"features.options.stride": stride})
    features = project.run("features")
    rows = [[48 // stride, 64 // stride]] * 4 + [[50 // stride, 90 // stride]]
    np.testing.assert_array_equal(features["grid"], rows)
    assert features["patches"].shape[2] == CHANNELS[stride]
    if stride == 8:
        image = read_image(project.path / "data/images/train/wide.png")[:48, :88]
        expected = layer2(weights, normalized([image]))[0]
        row = project.artifact("index")["id"].index("wide")
        found = features["patches"][row, :66]
        np.testing.assert_allclose(found, expected.flatten(1).T.numpy(), atol=1e-4)
        np.testing.assert_allclose(features["cls"][row], found.mean(axis=0), atol=1e-4)


def test_a_crop_is_the_mean_of_its_own_map_and_a_mask_of_its_tokens(project, weights: Path, draw_photo) -> None:
    features, image = project.run("features"), draw_photo(3)
    boxes = np.array([[1, 2, 4, 5], [1, 2, 4, 5], [0, 0, 8, 6]], np.int32)
    masks = [np.eye(3, dtype=bool), np.zeros((3, 3), bool), np.ones((6, 8), bool)]
    where = {"project": project.path, "device": "cpu"}
    whole = embed_crops(features, image, boxes, None, **where)
    masked = embed_crops(features, image, boxes, masks, **where)
    crop = layer2(weights, normalized([image])[:, :, 16:40, 8:32])[0]
    np.testing.assert_allclose(whole[0], crop.mean(dim=(1, 2)), atol=1e-4)
    np.testing.assert_allclose(masked[0], crop[:, np.eye(3, dtype=bool)].mean(dim=1), atol=1e-4)
    np.testing.assert_array_equal(masked[1], whole[1])  # an empty mask
    np.testing.assert_allclose(masked[2], whole[2], atol=1e-5)
    np.testing.assert_array_equal(whole[0], whole[1])
    assert embed_crops(features, image, boxes[:0], None, **where).shape == (0, 128)


@pytest.mark.parametrize("method", ["crop", "masked_attention", "mean"])
def test_the_chain_up_to_crops(project, method: str) -> None:
    project.set({"features.fit": "pad", "features.dtype": "float16", "crops.method": method})
    project.run_all("features", "eigen", "segments")
    crops = project.run("crops")
    assert crops["features"].shape[2] == 128
    for row, count in enumerate(crops["num_segments"]):
        assert np.abs(crops["features"][row, :count]).sum(axis=1).all()


def test_masked_image_wants_a_transformer(project) -> None:
    project.set({"crops.method": "masked_image"})
    with pytest.raises(
        ParamsError, match=r"crops\.method: found 'masked_image'; it needs features\.options\.attention"
    ):
        project.run("features")


def test_bfloat16_is_near_float32(project) -> None:
    exact = project.run("features")["patches"][:]
    project.set({"features.options.precision": "bfloat16"})
    found = project.run("features")["patches"][:]
    assert 0 < np.abs(found - exact).max() < 0.05 * np.abs(exact).max()


def test_pixels_are_normalised_as_in_the_training_of_the_network() -> None:
    grey = np.full((8, 8, 3), 51, np.uint8)
    found = normalized([grey], mean=(0.2, 0.1, 0.0), std=(0.5, 0.1, 0.2))
    np.testing.assert_allclose(found[0, :, 0, 0], [0, 1, 1], atol=1e-6)


def test_the_mean_over_a_mask() -> None:
    values = torch.arange(8.0).reshape(2, 2, 2)
    mask = torch.tensor([[True, False], [False, True]])
    assert pooled(values, mask).tolist() == [1.5, 5.5]
    assert pooled(values, None).tolist() == pooled(values, torch.zeros(2, 2, dtype=torch.bool)).tolist() == [1.5, 5.5]


@pytest.mark.parametrize("name", ["densenet121", "convnext_atto", "mobilenetv3_small_050"])
def test_networks_whose_keys_timm_renames(tmp_path: Path, name: str) -> None:
    """Of densenet121 `features.conv0` becomes `features_conv0` where timm cuts the network."""
    torch.manual_seed(1)
    model = timm.create_model(name).eval()
    torch.save(model.state_dict(), tmp_path / "w.pth")
    cnn = load_cnn(name, stride=16, weights=tmp_path / "w.pth")
    found = cnn.model(images := torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0)))[0]
    assert found.shape == (1, cnn.channels, 2, 3)
    own = {key.replace(".", "_"): value for key, value in model.state_dict().items()}
    assert all(torch.equal(value, own[key.replace(".", "_")]) for key, value in cnn.model.state_dict().items())
    assert torch.isfinite(functional.relu(cnn.model(images)[0])).all()


@pytest.mark.parametrize(
    ("name", "stride", "error", "line"),
    [
        ("resnet18", 5, ParamsError, r"features\.options\.stride: found 5; name: resnet18 has maps of 2, 4, 8, 16, 32 pixels"),
        ("resnet81", 8, WeightsError, r"features\.options\.name: timm has no model 'resnet81'; names like it: "),
        ("vit_tiny_patch16_224", 16, WeightsError, r"vit_tiny_patch16_224 gives no map of an image of any size; .* backbone: vit"),
        ("swin_tiny_patch4_window7_224", 16, WeightsError, r"gives no map of an image of any size"),
        ("mixer_s16_224", 16, WeightsError, r"gives no map of an image of any size"),
        ("resnet34", 16, WeightsError, r"resnet18\.pth does not fit the network: missing \['layer1\.2\.conv1\.weight'"),
        ("resnet18d", 16, WeightsError, r"resnet18\.pth does not fit the network: missing"),
    ],
)  # fmt: skip
def test_what_is_no_such_network_is_one_line(weights: Path, name: str, stride: int, error: type, line: str) -> None:
    # The weights of a network are compared last.
    with pytest.raises(error, match=line) as found:
        load_cnn(name, stride=stride, weights=weights)
    assert "\n" not in str(found.value)


def test_weights_that_do_not_fit(tmp_path: Path, weights: Path) -> None:
    state = torch.load(weights, weights_only=True)
    spoilt = {
        r"conv1\.weight is \(64, 3, 5, 5\), \(64, 3, 7, 7\) is needed": {**state, "conv1.weight": torch.ones(64, 3, 5, 5)},
        r"bn1\.bias holds NaN": {**state, "bn1.bias": torch.full((64,), float("nan"))},
        "holds no state dict": {"epoch": 3},
        "the same map for every image": {**state, "bn1.weight": torch.zeros(64)},
    }  # fmt: skip
    for line, content in spoilt.items():
        torch.save(content, tmp_path / "w.pth")
        with pytest.raises(WeightsError, match=rf"^features\.options\.weights: .*{line}"):
            load_cnn("resnet18", stride=8, weights=tmp_path / "w.pth")


def test_a_failed_download_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model

    def offline(name: str, *, pretrained: bool = False, **options: Any) -> Any:
        if pretrained:
            raise ConnectionError("unreachable\nhost")
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(
        WeightsError, match=r"^features\.options\.name: the weights of resnet18\.a1_in1k could not be"
    ) as found:
        load_cnn("resnet18.a1_in1k", stride=8, weights=None)
    assert "\n" not in str(found.value)
