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
def test_the_tutorial_ends_with_label_maps_and_scores(
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
    ran, chosen, _, scored = said
    assert "report/index.html" in ran
    assert (project / "report/index.html").is_file()
    assert "up to date" not in ran
    for stage in ("features", "eigen", "segments", "crops"):
        assert f"{stage}@train is up to date" in chosen
    assert "cluster@train is up to date" not in chosen
    assert "cluster@train is up to date" in scored
    assert "miou" in scored
    maps = sorted((project / "maps").rglob("*.png"))
    assert len(maps) == 36
    name = maps[0].relative_to(project / "maps").with_suffix(".jpg")
    with Image.open(tmp_path / "data/demo/images" / name) as photo, Image.open(maps[0]) as labels:
        assert labels.size == photo.size
        assert set(np.unique(np.asarray(labels))) <= set(range(1, 7))
