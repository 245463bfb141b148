"""The choice of `--backbone auto`: its constants, its estimate, and a question that hangs."""

import time

import numpy as np
import pytest

from usseg.results import backbone_choice
from usseg.results.backbone_choice import BLOCKS, CHANNELS, NETWORK, PATCH, REPOSITORY, backbone_lines


def test_a_question_that_hangs_ends_in_time() -> None:
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        backbone_choice.answer(lambda: time.sleep(30), 0.2)
    assert time.monotonic() - start < 5
    assert backbone_choice.answer(lambda: 7, 5) == 7
    with pytest.raises(KeyError):
        backbone_choice.answer(lambda: {}["gone"], 5)


def test_the_constants_are_those_of_timm() -> None:
    import timm
    import torch

    with torch.device("meta"):
        model = timm.create_model(NETWORK, pretrained=False, num_classes=0)
    assert timm.get_pretrained_cfg(NETWORK).hf_hub_id == REPOSITORY
    assert (len(model.blocks), model.embed_dim, model.patch_embed.patch_size[0]) == (BLOCKS, CHANNELS, PATCH)
    assert 4 * sum(one.numel() for one in model.parameters()) == pytest.approx(backbone_choice.WEIGHTS_BYTES, rel=0.01)


def test_an_estimate_is_a_time_and_follows_the_speed_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0.001 < backbone_choice.network_seconds() < 100
    assert 0.0001 < backbone_choice.lowlevel_seconds() < 10
    monkeypatch.setattr(backbone_choice, "perf_counter", iter(np.arange(20) * 0.5).__next__)
    # A product of 773 x 384 and 384 x 1536 takes half a second; the network has 12 blocks of 12 n c^2 + 2 n^2 c.
    products = 12 * (12 * 773 * 384**2 + 2 * 773**2 * 384)
    assert backbone_choice.network_seconds() == pytest.approx(1.4 * products / (773 * 384 * 1536 / 0.5))


@pytest.mark.parametrize(
    ("name", "patch", "resize"),
    [("vit_small_patch16_224.dino", 16, 512), ("vit_small_patch8_224.dino", 8, 320), ("resnet18.a1_in1k", 16, 512)],
)
def test_the_longer_side_is_a_whole_number_of_patches(name: str, patch: int, resize: int) -> None:
    assert resize % patch == 0
    assert f"  resize: {resize} " in backbone_lines(name)
