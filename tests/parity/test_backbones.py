"""Backbones."""

import numpy as np
import pytest
import torch

from usseg.stages.features.networks import from_state_dict
from usseg.stages.features.posembed import by_timm
from usseg.stages.features.transformer import (
    class_features,
    extract,
    masked_attention,
    position_embedding,
)

MODELS = [("dino_vit_p16", ""), ("dino_vit_p8", ""), ("dinov2_vit_p14", "base/"), ("dinov2_vit_p14", "reg/")]
TOLERANCE = {"pos_embed": 1e-5, "tokens": 1e-4, "q": 1e-4, "k": 1e-4, "v": 1e-4}


def original_of(file: str) -> str:
    if file.startswith("dinov2"):
        return "facebookresearch/dinov2 `DinoVisionTransformer`"
    return "facebookresearch/dino `vision_transformer.VisionTransformer`"


def load(file, prefix: str):
    start = f"{prefix}weights/"
    state = {key.removeprefix(start): torch.from_numpy(file[key]) for key in file.files if key.startswith(start)}
    heads = file[f"{prefix}num_heads" if f"{prefix}num_heads" in file.files else "num_heads"]
    return from_state_dict(state, num_heads=int(heads))


@pytest.mark.parametrize(("name", "prefix"), MODELS)
def test_forward(golden, parity, name: str, prefix: str) -> None:
    file = golden(name)
    vit = load(file, prefix)
    check = parity(
        f"{name} {prefix.rstrip('/')}".strip(),
        from_state_dict,
        extract,
        position_embedding,
        original=original_of(name),
        call="extract(from_state_dict(state, num_heads=heads), images)",
        differs="`features.options.posembed: timm` resamples positions as timm does",
    )
    for i in range(int(file["num_cases"])):
        images = torch.from_numpy(file[f"case{i}/input"])[None]
        grid = [side // vit.patch_size for side in images.shape[2:]]
        found = {key: value[0] for key, value in extract(vit, images).items()}
        found["pos_embed"] = position_embedding(vit, *grid)
        for key, tolerance in TOLERANCE.items():
            check(key, np.abs(found[key].numpy() - file[f"{prefix}case{i}/{key}"]).max(), tolerance)


@pytest.mark.parametrize(("name", "prefix"), MODELS)
def test_class_token_of_a_crop(golden, parity, name: str, prefix: str) -> None:
    """A full mask is no mask."""
    file = golden(name)
    vit = load(file, prefix)
    check = parity(
        f"class token, {name} {prefix.rstrip('/')}".strip(),
        class_features,
        masked_attention,
        original=original_of(name),
        call="class_features(vit, images, masks)",
        differs="masked attention per head; the semester report's code uses one head",
    )
    for i in range(int(file["num_cases"])):
        images = torch.from_numpy(file[f"case{i}/input"])[None]
        reference = file[f"{prefix}case{i}/tokens"][0]
        full = torch.ones(1, len(file[f"{prefix}case{i}/tokens"]) - vit.num_prefix, dtype=torch.bool)
        check("no mask", np.abs(class_features(vit, images)[0].numpy() - reference).max(), 1e-4)
        check("full mask", np.abs(class_features(vit, images, full)[0].numpy() - reference).max(), 1e-4)


@pytest.mark.parametrize(("name", "prefix"), MODELS)
def test_position_rules_differ(golden, name: str, prefix: str) -> None:
    """What the tolerance above would not forgive: timm's rule in place of the project's."""
    file = golden(name)
    vit = load(file, prefix)
    errors = []
    for i in range(int(file["num_cases"])):
        rows, cols = (side // vit.patch_size for side in file[f"case{i}/input"].shape[1:])
        found = by_timm(vit.position, rows, cols).numpy()
        errors.append(np.abs(found - file[f"{prefix}case{i}/pos_embed"]).max())
    assert vit.posembed == {"base/": "dinov2", "reg/": "dinov2_reg"}.get(prefix, "dino")
    assert max(errors) > 1e-2 or vit.posembed == "dinov2_reg"
