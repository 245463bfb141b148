"""usseg export: small components, chosen classes, kept files, and what is refused."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from usseg.pipeline.errors import ArtifactError, ImageError, ParamsError
from usseg.pipeline.project import Project as Opened
from usseg.results.export import FORMATS
from usseg.results.export.components import without_small
from usseg.results.export.format import Format, Masks, Split
from usseg.results.names import write_names
from usseg.stages import STAGES


def test_small_components_become_background(named: Path, tmp_path: Path, expected, export) -> None:
    lines = export(named, "voc", out=tmp_path / "masks", split="train", min_area=200)
    components = pixels = total = 0
    for name, classes in expected(named, "train").items():
        wanted = classes.copy()
        for value in (1, 2, 3):
            count, pieces, stats, _ = cv2.connectedComponentsWithStats(
                (classes == value).astype(np.uint8), connectivity=4
            )
            small = [n for n in range(1, count) if stats[n, cv2.CC_STAT_AREA] < 200]
            wanted[np.isin(pieces, small)] = 0
            components += len(small)
        pixels += (wanted != classes).sum()
        total += classes.size
        with Image.open(tmp_path / f"masks/voc/train/SegmentationClass/{name}.png") as image:
            np.testing.assert_array_equal(np.asarray(image), wanted)
    assert components > 0
    share = f"({pixels / total:.2%} of the pixels)"
    assert lines[0] == f"train: {components} components below 200 pixels became background {share}"


def test_the_smallest_area_is_kept() -> None:
    classes = np.array([[1, 1, 0, 2], [0, 0, 0, 2], [1, 0, 2, 0]], np.uint16)
    kept, components, pixels = without_small(classes, 2)
    assert (components, pixels) == (2, 2)
    np.testing.assert_array_equal(kept, [[1, 1, 0, 2], [0, 0, 0, 2], [0, 0, 0, 0]])


def test_only_some_classes(named: Path, tmp_path: Path, expected, export) -> None:
    export(named, "voc", out=tmp_path / "masks", split="val", only=("sky",))
    assert (tmp_path / "masks/voc/val/classes.txt").read_text().splitlines() == ["background", "sky"]
    for name, classes in expected(named, "val").items():
        with Image.open(tmp_path / f"masks/voc/val/SegmentationClass/{name}.png") as image:
            np.testing.assert_array_equal(np.asarray(image), classes == 3)


def states(folder: Path) -> Iterator[tuple[Path, int]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith("manifest") and path.suffix not in (".txt", ".xml"):
            yield path, path.stat().st_mtime_ns


def test_finished_files_are_kept_and_missing_ones_written(named: Path, tmp_path: Path, export) -> None:
    out = tmp_path / "masks"
    export(named, *FORMATS, out=out, split="train")
    content = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    before = dict(states(out))
    gone = out / "voc/train/SegmentationClass/photo1.png"
    gone.unlink()
    (out / "coco/train/.instances.json.new").write_text("half a fi")
    time.sleep(0.01)
    lines = export(named, *FORMATS, out=out, split="train")
    assert f"voc@train: 4 files (3 of them kept) -> {out / 'voc/train'}" in lines
    assert f"coco@train: 4 images (kept) -> {out / 'coco/train/instances.json'}" in lines
    assert {path for path, changed in states(out) if before[path] != changed} == {gone}
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == content


def test_other_names_write_all_files_anew(named: Path, copied, tmp_path: Path, export) -> None:
    project, out = copied(named, tmp_path / "project"), tmp_path / "masks"
    export(project.path, "labelme", "coco", out=out, split="val")
    write_names(Opened.open(STAGES, project.path), ["4=heaven"])
    lines = export(project.path, "labelme", "coco", out=out, split="val")
    assert not any("kept" in line for line in lines)
    assert '"heaven"' in (out / "coco/val/instances.json").read_text()
    assert not any('"sky"' in path.read_text() for path in out.rglob("*.json"))


def test_files_of_the_user_are_never_removed(named: Path, tmp_path: Path, export) -> None:
    mine = tmp_path / "masks/voc/val/mine.png"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(ParamsError, match=r"voc/val: no export has written it .*; remove it, or choose another --out"):
        export(named, "voc", out=tmp_path / "masks", split="val")
    assert mine.read_text() == "mine"


@pytest.mark.parametrize(
    ("formats", "options", "line"),
    [
        (("vok",), {}, "--format: no format 'vok'"),
        (("voc",), {"split": "tset"}, "--split: no split 'tset'"),
        (("voc",), {"only": ("sly",)}, "--only: no class 'sly'"),
        (("voc",), {"out": "data/masks"}, "is inside index.root"),
    ],
)
def test_what_is_refused_writes_nothing(named: Path, export, formats, options: dict[str, Any], line: str) -> None:
    out = named / options.pop("out", "refused")
    with pytest.raises(ParamsError) as error:
        export(named, *formats, out=out, **options)
    assert line in str(error.value)
    assert "\n" not in str(error.value)
    assert not out.exists()


def test_a_result_of_another_clustering_is_refused(named: Path, copied, tmp_path: Path, export) -> None:
    project = copied(named, tmp_path / "project")
    (project.path / "names.yaml").unlink()
    project.set({"cluster.seed": 5, "cluster.options": {"n_init": 2}})
    project.run("cluster")
    with pytest.raises(
        ArtifactError, match=r"assign@val is not of the present params, code and inputs; run: usseg run"
    ):
        export(project.path, "voc", out=tmp_path / "masks", split="val")


def test_a_changed_or_missing_photo_is_one_line(named: Path, copied, export, tmp_path: Path) -> None:
    project = copied(named, tmp_path / "project")
    photo = project.path / "data/images/val/photo1.png"
    Image.new("RGB", (64, 48)).save(photo)
    with pytest.raises(ImageError, match=r"photo1.png has changed since index; run: usseg stage index --split val"):
        export(project.path, "overlay", out=tmp_path / "masks", split="val")
    photo.unlink()
    with pytest.raises(ImageError, match=r"photo1.png: no such file"):
        export(project.path, "voc", out=tmp_path / "masks", split="val")


def test_voc_holds_254_classes(named: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, export) -> None:
    assert FORMATS["voc"].most_classes == 254
    monkeypatch.setitem(FORMATS, "voc", replace(FORMATS["voc"], most_classes=2))
    with pytest.raises(ParamsError, match="voc: found 3 classes; at most 2 fit; give clusters equal names"):
        export(named, "voc", out=tmp_path / "masks")


def test_a_turned_photo_gets_a_line_and_an_upright_mask(named: Path, tmp_path: Path, export) -> None:
    lines = export(named, "voc", out=tmp_path / "masks", split="val")
    assert lines[0].startswith("val: EXIF turns 1 of 2 photos; their masks are upright")
    with Image.open(named / "data/images/val/photo0.png") as photo:
        assert photo.size == (48, 64)
    with Image.open(tmp_path / "masks/voc/val/SegmentationClass/photo0.png") as mask:
        assert mask.size == (64, 48)


def test_remarks_are_counted(named: Path, export, tmp_path: Path, monkeypatch) -> None:
    def remark(masks: Masks, split: Split) -> str:
        return "a doubt" if masks.id != "photo0" else ""

    for name in ("voc", "coco"):
        monkeypatch.setitem(FORMATS, name, replace(FORMATS[name], remark=remark))
    lines = export(named, "voc", "coco", out=tmp_path / "masks", split="train")
    assert lines[-2].endswith("masks/voc/train; 3 of 4 with a doubt")
    assert lines[-1].endswith("instances.json; 3 of 4 with a doubt")


def test_a_format_is_one_entry_of_the_table(named: Path, export, expected, tmp_path: Path, monkeypatch) -> None:
    def encode(masks: Masks, split: Split) -> bytes:
        return f"{split.name} {masks.id} {int((masks.classes > 0).sum())}".encode()

    monkeypatch.setitem(FORMATS, "toy", Format(summary="A toy.", file="{id}.txt", encode=encode))
    export(named, "toy", out=tmp_path / "masks", split="val")
    for name, classes in expected(named, "val").items():
        assert (tmp_path / f"masks/toy/val/{name}.txt").read_text() == f"val {name} {(classes > 0).sum()}"


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_says_what_it_writes(name: str) -> None:
    assert FORMATS[name].summary.endswith(".")
    assert ("{id}" in FORMATS[name].file) == (FORMATS[name].collect is None)
