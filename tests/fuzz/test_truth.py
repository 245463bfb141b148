"""Damaged labels, boxes and outlines are refused by their file, or scored as they are written."""

import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from usseg.pipeline.label_values import LabelValues
from usseg.pipeline.truth import read_truth

LABELS, VOC, COCO, MATRICES = range(30), range(30), range(45), range(20)
SIZE = (32, 40)
WORDS = (
    "",
    " ",
    "0",
    "1",
    "-1",
    "1e9",
    "1e999",
    "inf",
    "nan",
    "3.5",
    "0x10",
    "٣",
    "seventeen",
    "1 2",
    "null",
    "9" * 400,
)
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 3.5, 1e300, float("nan"), float("inf"), 10**30, "", "1", "a/b.png", "x" * 5000, [], {}, [[]], [[1, 2]],
    [[1, 2, 3, 4, 5, 6]], [0, 0, 5, 5], [5, 5, -1, 2], [None] * 4, {"counts": [1, 2], "size": [32, 40]}, {"counts": "~", "size": [32, 40]},
    {"counts": [1280], "size": [32]}, {"a": {"b": [1]}},
)  # fmt: skip


def label_image(rng: np.random.Generator) -> tuple[bytes, str]:
    """A label image that says something else than the right one, and what."""
    labels = rng.integers(0, 2, (4, 5)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    table = Image.fromarray(labels)
    palette = Image.fromarray(labels, "P")
    palette.putpalette([0, 0, 0, 255, 255, 255])
    grey = Image.fromarray(labels * int(rng.choice([1, 2, 127, 255])))
    options: dict[str, Any] = {
        "one bit": Image.fromarray(labels.astype(bool)), "two colours": palette, "grey": grey, "equal channels": grey.convert("RGB"),
        "colours": Image.fromarray(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)), "alpha": grey.convert("RGBA"),
        "16 bits": Image.fromarray(labels.astype(np.uint16) * int(rng.choice([1, 257, 300]))), "floats": Image.fromarray(labels.astype(np.float32)),
        "any values": Image.fromarray(rng.integers(0, 256, SIZE, dtype=np.uint8)), "other size": table.resize((20, 16)),
        "turned": table.transpose(Image.Transpose.ROTATE_90), "CMYK": grey.convert("CMYK"), "all ignored": Image.fromarray(np.full(SIZE, 255, np.uint8)),
    }  # fmt: skip
    name = list(options)[int(rng.integers(len(options)))]
    stream = io.BytesIO()
    options[name].save(stream, "TIFF" if name in ("floats", "CMYK") else "PNG")
    return stream.getvalue(), name


def voc(rng: np.random.Generator) -> str:
    """Annotations of one image."""
    x, y = (int(value) for value in rng.integers(1, 20, 2))
    thing = f"<object><name>cat</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin><xmax>{x + 9}</xmax><ymax>{y + 8}</ymax></bndbox></object>"
    return f"<annotation><size><width>40</width><height>32</height></size>{thing}{thing}</annotation>"


def spoil_voc(text: str, rng: np.random.Generator) -> tuple[str, str]:
    """Other annotations, and what was done."""
    tags = list(re.finditer(r"<(\w+)>([^<>]*)</\1>", text))
    found = tags[int(rng.integers(len(tags)))]
    word = WORDS[int(rng.integers(len(WORDS)))]
    if rng.random() < 0.6:
        return text[: found.start(2)] + word + text[found.end(2) :], f"{found[1]} is {word[:20]!r}"
    options = {
        f"no {found[1]}": text[: found.start()] + text[found.end() :],
        f"{found[1]} twice": text[: found.end()] + found[0] + text[found.end() :],
        "another root": text.replace("annotation", "dataset"),
        "entities": '<!DOCTYPE a [<!ENTITY b "c">]>' + text.replace("cat", "&b;"),
        "deep nesting": "<a>" * 50000,
        "another encoding": '<?xml version="1.0" encoding="utf-99"?>' + text,
        "no objects": re.sub(r"<object>.*</object>", "", text),
        "corners swapped": text.replace("xmin", "swap").replace("xmax", "xmin").replace("swap", "xmax"),
    }
    name = list(options)[int(rng.integers(len(options)))]
    return options[name], name


def coco(rng: np.random.Generator, outlines: bool) -> dict[str, Any]:
    """A file of the three images of train."""
    things = []
    for number in range(6):
        x, y = (int(value) for value in rng.integers(0, 20, 2))
        outline = [[x, y, x + 9, y, x + 9, y + 8, x, y + 8]]
        more = {"segmentation": outline} if outlines else {}
        things.append(
            {"id": number, "image_id": number % 3, "category_id": 1, "iscrowd": 0, "bbox": [x, y, 9, 8], **more}
        )
    images = [{"id": i, "file_name": f"images/train/photo{i}.png", "width": 40, "height": 32} for i in range(3)]
    return {"images": images, "annotations": things, "categories": [{"id": 1, "name": "right"}]}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value."""
    for key, below in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(below, (*path, key))


def spoil_coco(content: dict[str, Any], rng: np.random.Generator) -> str:
    """Change one place in the file; returns what was done."""
    found = list(places(content))
    *above, last = found[int(rng.integers(len(found)))]
    parent: Any = content
    for key in above:
        parent = parent[key]
    kind = int(rng.integers(4))
    where = ".".join(map(str, [*above, last]))
    if kind == 0:
        del parent[last]
        return f"no {where}"
    if kind == 1 and isinstance(parent, list):
        parent.append(parent[last])
        return f"{where} twice"
    value = VALUES[int(rng.integers(len(VALUES)))]
    parent[last] = value
    return f"{where} is {str(value)[:40]}"


def scored(project: Any, attempt: Callable[..., str | None], *names: str) -> dict[str, Any] | None:
    """The scores, or None where the truth is refused."""
    if attempt(lambda: project.run("index"), *names) is not None:
        return None
    if attempt(lambda: project.run("evaluate"), *names) is not None:
        return None
    scores: dict[str, Any] = project.scores("train")
    for name, value in scores.items():
        assert value is None or not isinstance(value, float) or 0 <= value <= 1, f"{name}: {value}"
    return scores


def truths(project: Any, values: LabelValues) -> list[Any]:
    """The truth of every image as the later stages read it."""
    index, root = project.artifact("index"), project.path / "data"
    sizes = [tuple(size) for size in index["size"][:].tolist()]
    return [read_truth(root, *one, values) for one in zip(index["label_path"], index["path"], sizes, strict=True)]


@pytest.mark.parametrize("seed", LABELS)
def test_a_spoilt_label_image(
    seed: int,
    class_project: Path,
    tmp_path: Path,
    copied: Callable[[Path, Path], Any],
    spoil: Callable[..., tuple[bytes, str]],
    attempt: Callable[..., str | None],
) -> None:
    rng = np.random.default_rng([2, seed])
    project = copied(class_project, tmp_path)
    target = project.path / "data/labels/train/photo1.png"
    whole = np.asarray(Image.open(target))
    spoilt, what = spoil(target.read_bytes(), rng) if seed % 3 == 0 else label_image(rng)
    print(f"seed {seed}: {what}")
    before = (project.path / "metrics/train.json").read_text()
    changed = spoilt != target.read_bytes()
    target.write_bytes(spoilt)
    if changed and rng.random() < 0.3:
        project.set({"evaluate.options.matching": "iou"})
        assert attempt(lambda: project.run("evaluate"), target.name), "labels that have changed since index were used"
        project.set({"evaluate.options.matching": "count"})
    if scored(project, attempt, target.name) is None:
        return
    labels = truths(project, LabelValues(("left", "right"), (), (255,)))[1].labels
    assert labels.shape == SIZE
    assert set(np.unique(labels).tolist()) <= {-1, 0, 1}
    if seed % 3 == 0:  # PNG has checksums: what is read is what was there
        assert np.array_equal(np.where(labels < 0, 255, labels), whole)
        assert (project.path / "metrics/train.json").read_text() == before


@pytest.mark.parametrize("seed", VOC)
def test_a_spoilt_voc_file(
    seed: int,
    object_project: Path,
    tmp_path: Path,
    copied: Callable[[Path, Path], Any],
    spoil: Callable[..., tuple[bytes, str]],
    attempt: Callable[..., str | None],
) -> None:
    rng = np.random.default_rng([3, seed])
    project = copied(object_project, tmp_path)
    for i in range(3):
        (project.path / f"data/boxes/photo{i}.xml").parent.mkdir(exist_ok=True)
        (project.path / f"data/boxes/photo{i}.xml").write_text(voc(rng))
    target = project.path / "data/boxes/photo1.xml"
    text = target.read_text()
    if seed % 3 == 0:
        spoilt, what = spoil(text.encode(), rng)
    else:
        written, what = spoil_voc(text, rng)
        spoilt = written.encode()
    print(f"seed {seed}: {what}")
    target.write_bytes(spoilt)
    project.set({"index.classes": [], "index.splits": {"train": {"images": "images/train/*", "labels": "boxes/*"}}})
    scores = scored(project, attempt, target.name)
    if scores is None:
        return
    boxes = truths(project, LabelValues((), (), (255,)))[1].boxes
    assert boxes.shape[1:] == (4,)
    assert (boxes >= -1).all()
    assert (boxes <= [41, 33, 41, 33]).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all(), boxes


@pytest.mark.parametrize("seed", COCO)
def test_a_spoilt_coco_file(
    seed: int,
    object_project: Path,
    class_project: Path,
    tmp_path: Path,
    copied: Callable[[Path, Path], Any],
    spoil: Callable[..., tuple[bytes, str]],
    attempt: Callable[..., str | None],
) -> None:
    rng = np.random.default_rng([4, seed])
    outlines = seed % 2 == 0
    content = coco(rng, outlines)
    if seed % 5 == 0:
        spoilt, what = spoil(json.dumps(content).encode(), rng)
    else:
        what = spoil_coco(content, rng)
        spoilt = json.dumps(content).encode()
    print(f"seed {seed}: {what}")
    project = copied(class_project if outlines else object_project, tmp_path)
    target = project.path / "data/truth.json"
    target.write_bytes(spoilt)
    classes = ["left", "right"] if outlines else []
    project.set(
        {"index.classes": classes, "index.splits": {"train": {"images": "images/train/*", "labels": "truth.json"}}}
    )
    if scored(project, attempt, target.name, "index.classes") is None:
        return
    for truth in truths(project, LabelValues(tuple(classes), (), (255,))):
        if truth.labels is not None:
            assert truth.labels.shape == SIZE
            assert set(np.unique(truth.labels).tolist()) <= {-1, 0, 1}
        else:
            assert (truth.boxes >= -1).all()
            assert (truth.boxes[:, 2:] > truth.boxes[:, :2]).all(), truth.boxes


@pytest.mark.parametrize("seed", MATRICES)
def test_a_spoilt_matlab_file(
    seed: int,
    class_project: Path,
    tmp_path: Path,
    copied: Callable[[Path, Path], Any],
    spoil: Callable[..., tuple[bytes, str]],
    attempt: Callable[..., str | None],
) -> None:
    rng = np.random.default_rng([5, seed])
    labels = rng.integers(0, 2, SIZE).astype(np.uint8)
    project = copied(class_project, tmp_path)
    for i in range(3):
        (project.path / f"data/labels/train/photo{i}.png").unlink()
        savemat(project.path / f"data/labels/train/photo{i}.mat", {"labels": labels})
    target = project.path / "data/labels/train/photo1.mat"
    arrays: dict[str, Any] = {
        "floats": labels.astype(float), "not a number": np.full(SIZE, np.nan), "negative": -labels.astype(np.int16), "three axes": np.stack([labels] * 3, 2),
        "cells": np.array([labels, None], object), "text": "labels", "complex": labels * 1j, "other size": labels[:9], "structs": {"a": labels},
        "fractions": labels + 0.5, "empty": np.zeros((0, 0)),
    }  # fmt: skip
    if seed % 2:
        spoilt, what = spoil(target.read_bytes(), rng)
        target.write_bytes(spoilt)
    else:
        what = list(arrays)[int(rng.integers(len(arrays)))]
        savemat(target, {"labels": arrays[what]})
    print(f"seed {seed}: {what}")
    if scored(project, attempt, target.name) is None:
        return
    found = truths(project, LabelValues(("left", "right"), (), (255,)))[1].labels
    assert found.shape == SIZE
    assert set(np.unique(found).tolist()) <= {-1, 0, 1}
