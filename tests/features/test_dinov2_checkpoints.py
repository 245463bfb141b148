"""DINOv2 checkpoints in the official and the Hugging Face layout, with registers and with SwiGLU."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from usseg.stages.features.networks import load_checkpoint
from usseg.stages.features.transformer import ViT, extract

State = dict[str, torch.Tensor]


def load(path: Path) -> ViT:
    return load_checkpoint(path, posembed="auto", num_heads=3)


def dinov2_state(dino_state: State, *, registers: int, gated: bool) -> State:
    """A random DINOv2 of the official layout: LayerScale, registers, and SwiGLU as in ViT-g."""
    draw = torch.Generator().manual_seed(5)
    state = dict(dino_state) | {"mask_token": torch.zeros(1, 24)}
    if registers:
        state["register_tokens"] = torch.randn(1, registers, 24, generator=draw)
    for block in range(2):
        state[f"blocks.{block}.ls1.gamma"] = torch.rand(24, generator=draw)
        state[f"blocks.{block}.ls2.gamma"] = torch.rand(24, generator=draw)
        if gated:
            for name in ("fc1", "fc2"):
                del state[f"blocks.{block}.mlp.{name}.weight"], state[f"blocks.{block}.mlp.{name}.bias"]
            state[f"blocks.{block}.mlp.w12.weight"] = torch.randn(128, 24, generator=draw) * 0.2
            state[f"blocks.{block}.mlp.w12.bias"] = torch.randn(128, generator=draw) * 0.2
            state[f"blocks.{block}.mlp.w3.weight"] = torch.randn(24, 64, generator=draw) * 0.2
            state[f"blocks.{block}.mlp.w3.bias"] = torch.randn(24, generator=draw) * 0.2
    return state


def to_hugging_face(state: State) -> State:
    """facebook/dinov2-* in Hugging Face's keys."""
    found: State = {}
    pairs = {
        "cls_token": "embeddings.cls_token", "pos_embed": "embeddings.position_embeddings", "mask_token": "embeddings.mask_token",
        "register_tokens": "embeddings.register_tokens", "patch_embed.proj": "embeddings.patch_embeddings.projection",
        ".attn.proj.": ".attention.output.dense.", ".ls1.gamma": ".layer_scale1.lambda1", ".ls2.gamma": ".layer_scale2.lambda1",
        ".mlp.w12.": ".mlp.weights_in.", ".mlp.w3.": ".mlp.weights_out.", "blocks.": "encoder.layer.",
    }  # fmt: skip
    for key, value in state.items():
        plain = f"layernorm.{key[5:]}" if key.startswith("norm.") else key
        for ours, theirs in pairs.items():
            plain = plain.replace(ours, theirs)
        if ".attn.qkv." in plain:
            for name, part in zip(("query", "key", "value"), value.chunk(3), strict=True):
                found[plain.replace(".attn.qkv.", f".attention.attention.{name}.")] = part.clone()
        else:
            found[plain] = value
    return found


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("registers", [0, 4])
def test_dinov2_files_give_the_features_of_the_formula(
    tmp_path: Path, dino_state: State, registers: int, gated: bool
) -> None:
    state = dinov2_state(dino_state, registers=registers, gated=gated)
    save_file(to_hugging_face(state), tmp_path / "model.safetensors")
    torch.save(state, tmp_path / "official.pth")
    official, hub = load(tmp_path / "official.pth"), load(tmp_path / "model.safetensors")
    assert official.posembed == hub.posembed == ("dinov2_reg" if registers else "dinov2")
    assert official.num_prefix == 1 + registers
    images = torch.randn(1, 3, 24, 40, generator=torch.Generator().manual_seed(1))
    for name, values in extract(official, images).items():
        torch.testing.assert_close(extract(hub, images)[name], values, atol=1e-6, rtol=1e-6)
    if gated:
        block, tokens = official.model.blocks[0], torch.randn(1, 5, 24, generator=torch.Generator().manual_seed(2))
        gate, value = functional.linear(tokens, state["blocks.0.mlp.w12.weight"], state["blocks.0.mlp.w12.bias"]).chunk(
            2, -1
        )
        expected = functional.linear(
            functional.silu(gate) * value, state["blocks.0.mlp.w3.weight"], state["blocks.0.mlp.w3.bias"]
        )
        torch.testing.assert_close(block.mlp(tokens), expected, atol=1e-6, rtol=1e-5)
