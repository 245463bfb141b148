"""The whole chain on a small random ViT in the official DINO layout; nothing is downloaded."""

import json
import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from usseg.pipeline.artifact import PixelMaps, open_artifact
from usseg.stages import STAGES

CHANNELS, DEPTH, PATCH, SIDE = 24, 2, 8, 4
Command = Callable[..., subprocess.CompletedProcess[str]]


def write_weights(path: Path) -> None:
    """Random weights under the names of the official DINO backbones; positions of a 4 x 4 grid."""
    generator = torch.Generator().manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, CHANNELS),
        "pos_embed": (1, 1 + SIDE * SIDE, CHANNELS),
        "patch_embed.proj.weight": (CHANNELS, 3, PATCH, PATCH),
        "patch_embed.proj.bias": (CHANNELS,),
        "norm.weight": (CHANNELS,),
        "norm.bias": (CHANNELS,),
    }
    for block in range(DEPTH):
        for name, rows, columns in (
            ("attn.qkv", 3 * CHANNELS, CHANNELS),
            ("attn.proj", CHANNELS, CHANNELS),
            ("mlp.fc1", 4 * CHANNELS, CHANNELS),
            ("mlp.fc2", CHANNELS, 4 * CHANNELS),
        ):
            shapes[f"blocks.{block}.{name}.weight"] = (rows, columns)
            shapes[f"blocks.{block}.{name}.bias"] = (rows,)
        for name in ("norm1", "norm2"):
            shapes[f"blocks.{block}.{name}.weight"] = shapes[f"blocks.{block}.{name}.bias"] = (CHANNELS,)
    state = {name: torch.randn(shape, generator=generator) * 0.2 for name, shape in shapes.items()}
    torch.save(state, path)


@pytest.fixture(scope="module")
def project(
    tmp_path_factory: pytest.TempPathFactory, draw_project: Callable[..., Path], chain: Callable[..., None]
) -> Path:
    """Six images through the chain with masked attention, on weights beside params.yaml."""
    folder = tmp_path_factory.mktemp("dino") / "p"
    edits = {
        "features.backbone": "checkpoint",
        "features.options.weights": "dino.pth",
        "features.options.num_heads": 3,
        "crops.method": "masked_attention",
        "segments.background": "border",
    }
    draw_project(folder, 6, [(43, 64), (48, 40)], edits)
    write_weights(folder / "dino.pth")
    chain(folder, "--workers", "1")
    return folder


def check_everything_is_finite(project: Path) -> None:
    for stage in STAGES.values():
        artifact = open_artifact(
            project / "artifacts" / stage.name / f"{'all' if stage.scope == 'all' else 'train'}.zarr"
        )
        assert set(artifact.names) == set(stage.arrays)
        for name in artifact.names:
            stored = artifact[name]
            values = list(stored) if isinstance(stored, PixelMaps) else stored[:]
            assert len(values) or name in ("components", "weights", "foreground"), (stage.name, name)
            if stage.arrays[name].dtype != "str":
                assert all(np.isfinite(row).all() for row in values), (stage.name, name)
    metrics = json.loads((project / "metrics/train.json").read_text())
    assert 0 <= metrics["miou"] <= metrics["accuracy"] <= 1
    assert all(math.isfinite(value) for scores in metrics["conventions"].values() for value in scores.values())
    page = (project / "report/index.html").read_text()
    assert "checkpoint features" in page
    assert page.count("data:image/") >= 3 * 5


def crops(project: Path) -> np.ndarray:
    artifact = open_artifact(project / "artifacts/crops/train.zarr")
    counts = artifact["num_segments"][:]
    assert counts.min() >= 1
    return np.concatenate([rows[:count] for rows, count in zip(artifact["features"][:], counts, strict=True)])


def test_masked_attention_then_crop(
    project: Path, edit: Callable[[Path, dict[str, Any]], None], chain: Callable[..., None]
) -> None:
    check_everything_is_finite(project)
    features = open_artifact(project / "artifacts/features/train.zarr")
    assert features["grid"][:].tolist() == [[5, 8], [6, 5]] * 3  # 43 rows of pixels: the last three are cut off
    assert features["patches"].shape == (6, 40, CHANNELS)
    patches = features["patches"][:]
    assert np.abs(patches[1::2, 30:]).max() == 0
    assert patches[:, :30].std(axis=(0, 1)).min() > 0
    assert features["cls"][:].std(axis=0).min() > 0
    masked = crops(project)
    assert masked.shape[1] == CHANNELS
    assert masked.std(axis=0).min() > 0

    edit(project, {"crops.method": "crop"})
    chain(project, "--workers", "1")
    check_everything_is_finite(project)
    whole = crops(project)
    assert whole.shape == masked.shape
    assert np.abs(whole - masked).max() > 1e-3


def test_the_page_and_describe_name_the_weights(project: Path, command: Command) -> None:
    assert "dino.pth" in (project / "report/index.html").read_text()
    assert '"weights": "dino.pth"' in command(project, "usseg", "describe", "artifacts/features/train.zarr").stdout
