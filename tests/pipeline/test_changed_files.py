"""An image or label file that has changed since `index` is refused, even if its size and time are the same."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from usseg.pipeline import files
from usseg.pipeline.errors import ImageError


def replace(path: Path, content: bytes, *, keep_time: bool = False) -> None:
    state = path.stat()
    path.write_bytes(content)
    if keep_time:
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def same_size(path: Path) -> bytes:
    """Change one byte near the end of an image file; it stays readable."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    return bytes(content)


def small(path: Path) -> bytes:
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(path.with_suffix(".other.png"))
    content = path.with_suffix(".other.png").read_bytes()
    path.with_suffix(".other.png").unlink()
    return content


@pytest.mark.parametrize("change", [same_size, small])
def test_a_replaced_image(finished_project, change) -> None:
    stages = {"features": "train", "eigen": "train", "crops": "train", "refine": "train", "report": "all"}
    finished_project.set(
        {"eigen.color_weight": 1.0, "crops.method": "crop", "refine.method": "guided_filter", "refine.options": {}}
    )
    for name in ("eigen", "segments", "crops", "assign", "refine", "evaluate"):
        finished_project.run(name, "train")
        finished_project.run(name, "val")
    path = finished_project.path / "data/images/train/photo1.png"
    replace(path, change(path))
    for name, split in stages.items():
        target = finished_project.path / f"artifacts/{name}/{split}.zarr"
        kept = target.rename(target.with_suffix(".kept"))
        with pytest.raises(
            ImageError, match=r"train/photo1\.png has changed since index; run: usseg stage index --split train$"
        ):
            finished_project.run(name, split)
        assert not target.exists()
        kept.rename(target)


@pytest.mark.parametrize("change", [same_size, small])
def test_a_replaced_label(finished_project, change) -> None:
    shutil.rmtree(finished_project.path / "artifacts/evaluate")
    path = finished_project.path / "data/labels/val/photo1.png"
    replace(path, change(path))
    with pytest.raises(ImageError, match=r"labels/val/photo1\.png has changed since index; run: .*index --split val$"):
        finished_project.run("evaluate", "val")


def test_a_replaced_file_of_coco(tiny_project) -> None:
    images_ = [{"id": i, "file_name": f"photo{i}.png", "width": 64, "height": 48} for i in range(4)]
    boxes = [{"id": i, "image_id": i, "category_id": 1, "bbox": [1, 2, 30, 20], "iscrowd": 0} for i in range(4)]
    path = tiny_project.path / "data/boxes.json"
    content = {"images": images_, "annotations": boxes, "categories": [{"id": 1, "name": "thing"}]}
    path.write_text(json.dumps(content))
    tiny_project.set(
        {
            "index.splits": {"train": {"images": "images/train/*", "labels": "boxes.json"}},
            "evaluate.method": "objects",
            "segments.background": "border",
            "refine.source": "segments",
        }
    )
    for stage in ("index", "features", "eigen", "segments", "refine", "evaluate"):
        tiny_project.run(stage)
    shutil.rmtree(tiny_project.path / "artifacts/evaluate")
    replace(path, json.dumps(content).replace("30", "31").encode(), keep_time=True)
    files.remembered_checksum.cache_clear()  # another process
    with pytest.raises(ImageError, match=r"boxes\.json has changed since index; run: usseg stage index --split train$"):
        tiny_project.run("evaluate")


def test_a_removed_image(tiny_project) -> None:
    tiny_project.run("index")
    (tiny_project.path / "data/images/train/photo1.png").unlink()
    with pytest.raises(ImageError, match=r"photo1\.png: no such file, but index has listed it; run: usseg stage index"):
        tiny_project.run("features")


def test_a_new_time_alone_changes_nothing(tiny_project) -> None:
    tiny_project.run("index")
    os.utime(tiny_project.path / "data/images/train/photo1.png", (1, 1))
    tiny_project.run("features")


def test_a_file_is_read_for_its_checksum_once(tiny_project, monkeypatch: pytest.MonkeyPatch) -> None:
    path, read = tiny_project.path / "data/images/train/photo1.png", []
    monkeypatch.setattr(files, "file_checksum", lambda path: read.append(path) or "x")
    assert [files.current_checksum(path) for _ in range(3)] == ["x"] * 3
    assert read == [path]
    files.remembered_checksum.cache_clear()
