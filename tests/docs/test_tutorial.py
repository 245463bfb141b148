"""docs/tutorial.md, from its first block to its last."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_tutorial_ends_with_named_masks_and_scores(
    tmp_path: Path, page_blocks: Callable[[str], list[Any]], shell: Callable[..., str]
) -> None:
    shutil.copytree(ROOT / "data/demo", tmp_path / "data/demo")
    first, *rest = page_blocks("tutorial.md")
    assert "train: 36 images (36 .jpg)\nnext: cd holiday && usseg run\n" in shell(first.text, tmp_path, tmp_path)
    project, said = tmp_path / "holiday", []
    for block in rest:
        if block.title:
            (project / block.title).write_text(block.text)
        elif block.kind == "yaml":  # lines of params.yaml, as init wrote them
            shown, written = (
                YAML(typ="safe").load(text) for text in (block.text, (project / "params.yaml").read_text())
            )
            shown["index"]["root"] = written["index"]["root"]
            assert all(written[section] | keys == written[section] for section, keys in shown.items())
        else:
            said.append(shell(block.text, project, tmp_path))
    ran, chosen, named, exported, _, scored = said
    assert "report/index.html" in ran
    assert (project / "report/index.html").is_file()
    assert "up to date" not in ran
    for stage in ("features", "eigen", "segments", "crops"):
        assert f"{stage}@train is up to date" in chosen
    assert "cluster@train is up to date" not in chosen
    assert "cluster@train is up to date" in scored
    assert "miou" in scored
    assert "label 5: meadow" in named
    assert "36" in exported
    masks = project / "masks/voc/train/SegmentationClass"
    files = sorted(masks.rglob("*.png"))
    classes = (masks.parent / "classes.txt").read_text().splitlines()
    assert len(files) == 36
    assert classes == ["background", "water", "meadow", "cluster 3", "cluster 4", "cluster 6"]
    new = {file.stem: file for file in (project / "new-masks/voc").rglob("*.png")}
    assert len(new) == 12
    agreement = []
    for file in files:
        photo = tmp_path / "data/demo/images" / file.relative_to(masks).with_suffix(".jpg")
        with Image.open(photo) as image, Image.open(file) as mask:
            assert mask.size == image.size
            assert set(np.unique(np.asarray(mask))) <= set(range(len(classes)))
            if photo.parent.name == "val":
                with Image.open(new[file.stem]) as again:
                    agreement.append(np.mean(np.asarray(again) == np.asarray(mask)))
    assert len(agreement) == 12
    assert (
        np.mean(agreement) > 0.9
    )  # random numbers depend on the id, which is val/scene00 in one and scene00 in the other
