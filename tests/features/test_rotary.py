"""Transformers with rotary positions run their own forward pass, also with an additional position embedding."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from usseg.pipeline.errors import WeightsError
from usseg.stages.features.networks import load_vit
from usseg.stages.features.transformer import extract


def saved_model(name: str, folder: Path) -> tuple[Any, Path]:
    """A model of timm with random positions, and the file of its weights."""
    model = timm.create_model(name, num_classes=0, dynamic_img_size=True).eval()
    assert model.rope is not None
    torch.nn.init.normal_(model.pos_embed, generator=torch.Generator().manual_seed(0))
    torch.save(model.state_dict(), folder / "w.pth")
    return model, folder / "w.pth"


def test_a_model_with_rotary_and_added_positions_is_run_with_both(tmp_path: Path) -> None:
    model, path = saved_model("vit_small_patch16_rope_ape_224", tmp_path)
    vit = load_vit("vit_small_patch16_rope_ape_224", weights=path, posembed="auto")
    images = torch.randn(2, 3, 2 * vit.patch_size, 3 * vit.patch_size, generator=torch.Generator().manual_seed(1))
    found = extract(vit, images)
    assert found["k"].shape == (2, vit.num_prefix + 6, vit.channels)
    with torch.inference_mode():
        torch.testing.assert_close(found["tokens"], model.forward_features(images))
        model.pos_embed.zero_()
        assert (found["tokens"] - model.forward_features(images)).abs().max() > 1e-3


def test_a_model_that_calls_no_qkv_layer_is_refused(tmp_path: Path) -> None:
    _, path = saved_model("eva02_tiny_patch14_224", tmp_path)
    vit = load_vit("eva02_tiny_patch14_224", weights=path, posembed="auto")
    with pytest.raises(WeightsError, match="calls no joint qkv layer"):
        extract(vit, torch.zeros(1, 3, 28, 28))
