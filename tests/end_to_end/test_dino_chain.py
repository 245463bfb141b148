"""The whole chain on a small random ViT in the official DINO layout; nothing is downloaded."""

import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from usseg.pipeline.artifact import PixelMaps, open_artifact
from usseg.pipeline.project import Project
from usseg.results.metrics import read_metrics
from usseg.stages import STAGES

CHANNELS = 24  # of the ViT
Command = Callable[..., subprocess.CompletedProcess[str]]


def check_everything_is_finite(project: Path) -> None:
    for stage in (STAGES[name] for name in Project.open(STAGES, project).needed):
        artifact = open_artifact(
            project / "artifacts" / stage.name / f"{'all' if stage.scope == 'all' else 'train'}.zarr"
        )
        assert set(artifact.attrs["arrays"]) == set(stage.arrays)
        for name in artifact.attrs["arrays"]:
            stored = artifact[name]
            values = list(stored) if isinstance(stored, PixelMaps) else stored[:]
            assert len(values) or name in ("components", "weights", "votes", "foreground"), (stage.name, name)
            if stage.arrays[name].dtype != "str":
                assert all(np.isfinite(row).all() for row in values), (stage.name, name)
    metrics = read_metrics(project, "train")
    assert 0 <= metrics["miou"] <= metrics["accuracy"] <= 1
    assert all(math.isfinite(value) for scores in metrics["conventions"].values() for value in scores.values())
    page = (project / "report/index.html").read_text()
    assert "checkpoint features" in page
    assert len(list((project / "report/page/photos/train").iterdir())) >= 3


def crops(project: Path) -> np.ndarray:
    artifact = open_artifact(project / "artifacts/crops/train.zarr")
    counts = artifact["num_segments"][:]
    assert counts.min() >= 1
    return np.concatenate([rows[:count] for rows, count in zip(artifact["features"][:], counts, strict=True)])


def test_masked_attention_then_crop(
    dino_state: dict[str, torch.Tensor],
    draw_project: Callable[..., Path],
    tmp_path: Path,
    edit: Callable[[Path, dict[str, Any]], None],
    command: Command,
) -> None:
    edits = {
        "features.backbone": "checkpoint",
        "features.options": {"weights": "dino.pth", "num_heads": 3},
        "crops.method": "masked_attention",
        "segments.background": "border",
    }
    project = draw_project(tmp_path / "p", 6, [(43, 64), (48, 40)], edits)
    torch.save(dino_state, project / "dino.pth")
    command(project, "usseg", "run", "--workers", "1")
    check_everything_is_finite(project)
    assert "dino.pth" in (project / "report/index.html").read_text()
    assert '"weights": "dino.pth"' in command(project, "usseg", "describe", "artifacts/features/train.zarr").stdout
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
    command(project, "usseg", "run", "--workers", "1")
    check_everything_is_finite(project)
    whole = crops(project)
    assert whole.shape == masked.shape
    assert np.abs(whole - masked).max() > 1e-3
