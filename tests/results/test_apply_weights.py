"""Weights are not in the file of usseg save: the same ones are needed where it is applied, and others are refused."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import usseg
from usseg.pipeline.errors import WeightsError


def offline(*args: Any, **options: Any) -> None:
    raise ConnectionError("no network")


def test_weights_travel_beside_the_file(
    finished, copied, tmp_path: Path, new_photos: Path, dino_state, save_file, apply_file, run_finished
) -> None:
    import torch

    project = copied(finished, tmp_path / "project")
    torch.save(dino_state, project.path / "dino.pth")
    project.set({"features.backbone": "checkpoint", "features.options": {"weights": "dino.pth", "num_heads": 3}})
    run_finished(project)
    size = (project.path / "dino.pth").stat().st_size
    file = tmp_path / "machine/meadow.usseg"
    assert f"not in it: the weights dino.pth ({size:,} bytes); another machine needs the same file" in save_file(
        project.path, file
    )
    other = tmp_path / "other.pth"
    torch.save({**dino_state, "norm.bias": dino_state["norm.bias"] + 1}, other)
    with pytest.raises(
        WeightsError, match=r"needs the weights dino\.pth .*: no file .*machine/dino\.pth; copy it there"
    ):
        apply_file(file, new_photos, tmp_path / "out")
    for place in (None, other):
        if place is None:
            shutil.copy(other, file.parent / "dino.pth")
        with pytest.raises(WeightsError, match=r"needs the weights dino\.pth .*has other ones.*--weights"):
            apply_file(file, new_photos, tmp_path / "out", weights=place)
        with pytest.raises(WeightsError, match="has other ones"):
            usseg.load(file, weights=place)
    assert not (tmp_path / "out").exists()
    apply_file(file, new_photos, tmp_path / "out", weights=project.path / "dino.pth")
    shutil.copy(project.path / "dino.pth", file.parent)
    apply_file(file, new_photos, tmp_path / "again")
    first, second = ([path.read_bytes() for path in sorted((tmp_path / n).rglob("*.png"))] for n in ("out", "again"))
    assert first == second
    photo = project.path / "data/images/val/photo1.png"
    np.testing.assert_array_equal(usseg.load(file).segment(photo).labels, run_finished(project, "val")[1])


def test_downloaded_weights_are_compared(
    finished,
    copied,
    tmp_path: Path,
    new_photos: Path,
    save_file,
    apply_file,
    monkeypatch: pytest.MonkeyPatch,
    run_finished,
) -> None:
    """The hub gives the weights of one seed, then those of another."""
    import timm
    import torch
    from timm.models.vision_transformer import VisionTransformer

    name = "vit_small_patch16_224.dino"
    seed = 0

    def hub(*args: Any, **options: Any) -> VisionTransformer:
        torch.manual_seed(seed)
        return VisionTransformer(
            img_size=64, patch_size=16, embed_dim=24, depth=2, num_heads=3, num_classes=0, dynamic_img_size=True
        )

    monkeypatch.setattr(timm, "create_model", hub)
    project = copied(finished, tmp_path / "project")
    project.set({"features.backbone": "vit", "features.options": {"name": name}, "segments.options.num_segments": 2})
    run_finished(project)
    file = tmp_path / "meadow.usseg"
    lines = save_file(project.path, file)
    assert lines[1] == f"not in it: the weights of {name}; timm downloads them on another machine"
    apply_file(file, new_photos, tmp_path / "same")
    usseg.load(file)
    seed = 1
    for attempt in (lambda: apply_file(file, new_photos, tmp_path / "other"), lambda: usseg.load(file)):
        with pytest.raises(WeightsError, match=rf"needs other weights of {name} than timm gives here"):
            attempt()
    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(WeightsError, match=rf"the weights of {name} could not be downloaded"):
        apply_file(file, new_photos, tmp_path / "other")
    assert not (tmp_path / "other").exists()
