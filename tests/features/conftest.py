import pytest
import torch

CHANNELS, DEPTH, PATCH, SIDE = 24, 2, 8, 4


@pytest.fixture
def dino_state() -> dict[str, torch.Tensor]:
    """A random ViT in the official DINO layout: 24 channels, 2 blocks, patches of 8, positions of a 4 x 4 grid."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * 0.2

    state = {
        "cls_token": draw(1, 1, CHANNELS),
        "pos_embed": draw(1, 1 + SIDE * SIDE, CHANNELS),
        "patch_embed.proj.weight": draw(CHANNELS, 3, PATCH, PATCH),
        "patch_embed.proj.bias": draw(CHANNELS),
        "norm.weight": 1 + draw(CHANNELS),
        "norm.bias": draw(CHANNELS),
    }
    for block in range(DEPTH):
        shapes = {
            "norm1": (CHANNELS,), "attn.qkv": (3 * CHANNELS, CHANNELS), "attn.proj": (CHANNELS, CHANNELS),
            "norm2": (CHANNELS,), "mlp.fc1": (4 * CHANNELS, CHANNELS), "mlp.fc2": (CHANNELS, 4 * CHANNELS),
        }  # fmt: skip
        for name, shape in shapes.items():
            state[f"blocks.{block}.{name}.weight"] = draw(*shape)
            state[f"blocks.{block}.{name}.bias"] = draw(shape[0])
    return state
