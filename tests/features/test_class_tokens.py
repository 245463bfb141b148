"""Class tokens computed together, compared with class tokens computed one by one."""

import numpy as np
import pytest
import torch

from usseg.stages.features.class_tokens import (
    can_pack,
    crop_class_features,
    finish_class,
    image_features,
    last_block_class,
    packs,
    segment_class_features,
)
from usseg.stages.features.networks import from_state_dict
from usseg.stages.features.transformer import class_features, extract, last_block_input, masked_attention

BOXES = np.array([[0, 0, 5, 4], [1, 1, 3, 4], [2, 0, 3, 1], [0, 0, 5, 4], [1, 0, 4, 4]])


@pytest.fixture(params=["dino", "registers"])
def vit(request, dino_state):
    if request.param == "registers":
        generator = torch.Generator().manual_seed(3)
        dino_state["register_tokens"] = torch.randn(1, 4, 24, generator=generator) * 0.2
        for block in range(2):
            dino_state[f"blocks.{block}.ls1.gamma"] = torch.rand(24, generator=generator)
            dino_state[f"blocks.{block}.ls2.gamma"] = torch.rand(24, generator=generator)
    return from_state_dict(dino_state, num_heads=3)


def photo(rows: int = 4, cols: int = 5) -> torch.Tensor:
    return torch.randn(1, 3, rows * 8 + 3, cols * 8 + 1, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("pack", [1, 12, 10_000])
@pytest.mark.parametrize("masked", [False, True])
def test_packed_crops_are_those_of_one_by_one(vit, pack: int, masked: bool) -> None:
    assert can_pack(vit)
    rng, image, masks = np.random.default_rng(0), photo(), None
    if masked:
        masks = [rng.random((y1 - y0, x1 - x0)) < 0.5 for x0, y0, x1, y1 in BOXES]
        masks[1][:] = False
    found = crop_class_features(vit, image, BOXES, masks, pack=pack)
    for s, (x0, y0, x1, y1) in enumerate(BOXES * 8):
        mask = None if masks is None else torch.from_numpy(masks[s].reshape(1, -1))
        alone = class_features(vit, image[:, :, y0:y1, x0:x1], mask)[0]
        torch.testing.assert_close(found[s], alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(5, 4), (1, 1), (8, 10)])
def test_a_mask_of_another_size_than_its_box_is_refused(vit, shape: tuple[int, int]) -> None:
    masks = [np.ones((y1 - y0, x1 - x0), bool) for x0, y0, x1, y1 in BOXES]
    masks[0] = np.ones(shape, bool)  # for a box of four rows and five columns
    with pytest.raises(AssertionError, match="another size than its box"):
        crop_class_features(vit, photo(), BOXES, masks)


def test_packs_keep_order_and_are_never_split() -> None:
    assert list(packs(BOXES, 20)) == [[0], [1, 2, 3], [4]]
    assert list(packs(BOXES, 1)) == [[0], [1], [2], [3], [4]]
    assert list(packs(BOXES[:0], 1)) == []


@pytest.mark.parametrize("facet", ["k", "q", "v"])
def test_the_shortened_last_block_is_the_whole_one(vit, facet: str) -> None:
    images = torch.cat([photo()[:, :, :32, :40], photo().flip(2)[:, :, :32, :40]])
    found, expected = image_features(vit, images, facet), extract(vit, images)
    torch.testing.assert_close(found["patches"], expected[facet][:, vit.num_prefix :], atol=1e-5, rtol=0)
    torch.testing.assert_close(found["values"], expected["v"][:, vit.num_prefix :], atol=1e-5, rtol=0)
    torch.testing.assert_close(found["cls"], expected["tokens"][:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(found["class_state"][:, 0], expected["q"][:, 0], atol=1e-5, rtol=0)


def test_a_segment_is_masked_attention_over_its_patches(vit) -> None:
    image = photo()[:, :, :32, :40]
    parts = {name: values[0] for name, values in image_features(vit, image, "k").items()}
    segments = torch.arange(20) // 7
    found = segment_class_features(vit, parts["patches"], parts["values"], parts["class_state"], segments, count=2)
    with torch.inference_mode():
        before = last_block_input(vit, image)
        q, k, v = last_block_class(vit, before, np.zeros(1, np.int64))
        for s in (1, 2):
            allowed = torch.cat([torch.zeros(vit.num_prefix, dtype=torch.bool), segments == s])[None]
            mixed = masked_attention(q, k, v, allowed, heads=3)
            torch.testing.assert_close(found[s - 1], finish_class(vit, before[:, :1], mixed)[0, 0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_masked_image_through_the_stages(tiny_project, dino_state, precision: str) -> None:
    torch.save(dino_state, tiny_project.path / "weights.pth")
    tiny_project.set(
        {
            "features.backbone": "checkpoint",
            "features.options.weights": "weights.pth",
            "features.options.num_heads": 3,
            "features.options.attention": True,
            "features.options.precision": precision,
            "features.dtype": "float16",
            "crops.method": "masked_image",
        }
    )
    tiny_project.run_all("index", "features", "eigen", "segments")
    crops, features = tiny_project.run("crops"), tiny_project.artifact("features")
    assert features["values"].shape == features["patches"].shape
    assert features["values"].dtype == np.float16
    for row, count in enumerate(crops["num_segments"]):
        rows = crops["features"][row, :count]
        assert np.isfinite(rows).all()
        assert len(np.unique(rows, axis=0)) == count
    tiny_project.set({"features.options.attention": False, "crops.method": "crop"})
    tiny_project.run("features")
    assert tiny_project.artifact("features")["values"].size == 0
    if precision == "bfloat16":
        exact = tiny_project.artifact("features")["patches"][:]
        tiny_project.set({"features.options.precision": "float32"})
        found = tiny_project.run("features")["patches"][:].astype(np.float32)
        assert 0 < np.abs(found - exact).max() < 0.05 * np.abs(found).max()
