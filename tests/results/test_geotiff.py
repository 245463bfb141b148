"""usseg export --format geotiff: coordinate system, transform, size, colours and names as rasterio reads them."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from usseg.pipeline.errors import ParamsError
from usseg.results.export import FORMATS
from usseg.results.export.format import Masks, Split, voc_colors
from usseg.results.export.geotiff_masks import encode, quiet, remark

pytest.importorskip("rasterio", reason="pip install 'usseg[geo]'")

from rasterio.control import GroundControlPoint
from rasterio.io import MemoryFile
from rasterio.transform import Affine

NAMES = ("background", "grass & co", "cluster 2", "sky")
PLACE: dict[str, Any] = {"crs": "EPSG:25832", "transform": Affine(0.2, 0, 691000.5, 0, -0.2, 5335000.25)}
CLASSES = np.random.default_rng(0).integers(0, 4, (30, 50)).astype(np.uint16)


def photo(path: Path, height: int = 30, width: int = 50, **place: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(1).integers(0, 255, (3, height, width)).astype(np.uint8)
    with quiet(path, "w", driver="GTiff", height=height, width=width, count=3, dtype="uint8", **place) as file:
        file.write(pixels)


def written(root: Path, classes: np.ndarray = CLASSES, name: str = "a.tif") -> tuple[bytes, str]:
    masks = Masks(0, "a", name, classes, lambda: np.zeros((*classes.shape, 3), np.uint8))
    split = Split("val", root, root / "out", ["a"], [name], [classes.shape], NAMES)
    return encode(masks, split), remark(masks, split)


@pytest.mark.filterwarnings("error")
def test_a_mask_lies_where_its_photo_lies(tmp_path: Path) -> None:
    photo(tmp_path / "a.tif", **PLACE)
    content, note = written(tmp_path)
    assert note == ""
    assert content == written(tmp_path)[0]
    with MemoryFile(content) as memory, memory.open() as mask, quiet(tmp_path / "a.tif") as source:
        assert (mask.crs, mask.transform, mask.shape) == (source.crs, source.transform, source.shape)
        assert mask.crs.to_epsg() == 25832
        assert mask.transform == PLACE["transform"]
        assert (mask.count, mask.dtypes, mask.nodata) == (1, ("uint8",), 255)
        np.testing.assert_array_equal(mask.read(1), CLASSES)
        assert [mask.colormap(1)[number][:3] for number in range(4)] == [
            tuple(color) for color in voc_colors(np.arange(4)).tolist()
        ]
        assert {f"CLASS_{number}": name for number, name in enumerate(NAMES)}.items() <= mask.tags(1).items()


def test_control_points_are_kept(tmp_path: Path) -> None:
    points = [GroundControlPoint(row, col, 8 + col, 50 - row) for row, col in ((0, 0), (0, 50), (30, 0), (30, 50))]
    photo(tmp_path / "a.tif", gcps=points, crs="EPSG:4326")
    content, note = written(tmp_path)
    assert note == ""
    with MemoryFile(content) as memory, memory.open() as mask:
        found, crs = mask.gcps
        assert crs.to_epsg() == 4326
        assert [(one.row, one.col, one.x, one.y) for one in found] == [(o.row, o.col, o.x, o.y) for o in points]


def test_a_world_file_is_read(tmp_path: Path) -> None:
    Image.new("RGB", (50, 30)).save(tmp_path / "a.jpg")
    (tmp_path / "a.jgw").write_text("0.5\n0\n0\n-0.5\n100.25\n199.75\n")  # of the centre of the first pixel
    content, note = written(tmp_path, name="a.jpg")
    assert note == ""
    with MemoryFile(content) as memory, memory.open() as mask:
        assert mask.transform == Affine(0.5, 0, 100, 0, -0.5, 200)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photo_keeps_its_place(tmp_path: Path, orientation: int) -> None:
    """GDAL shows the pixels of the file, so the mask has the order of these."""
    photo(tmp_path / "b.tif", **PLACE)
    with Image.open(tmp_path / "b.tif") as image:
        tags = image.tag_v2
        tags[0x0112] = orientation
        image.save(tmp_path / "a.tif", tiffinfo=tags)
    with Image.open(tmp_path / "a.tif") as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    with quiet(tmp_path / "a.tif") as source:
        stored = source.read(1)
    content, _ = written(tmp_path, upright[:, :, 0].astype(np.uint16))
    with MemoryFile(content) as memory, memory.open() as mask:
        np.testing.assert_array_equal(mask.read(1), stored)
        assert mask.transform == PLACE["transform"]


@pytest.mark.parametrize("name", ["a.tif", "a.png", "missing.tif"])
def test_a_photo_without_georeference_gets_a_remark(tmp_path: Path, name: str) -> None:
    if name == "a.tif":
        photo(tmp_path / name)
    elif name == "a.png":
        Image.new("RGB", (50, 30)).save(tmp_path / name)
    content, note = written(tmp_path, name=name)
    assert note == "no georeference: these masks have none, either"
    with MemoryFile(content) as memory, quiet(memory.name) as mask:
        assert mask.crs is None
        np.testing.assert_array_equal(mask.read(1), CLASSES)


def test_photos_without_georeference_are_counted(finished_project, export) -> None:
    """The chain runs over two photos of split val: one is a GeoTIFF, the other a PNG file."""
    folder = finished_project.path / "data/images/val"
    (folder / "photo0.png").unlink()
    photo(folder / "photo0.tif", 48, 64, **PLACE)
    finished_project.run_all("index", "features", "eigen", "segments", "crops", "cluster", "assign", "refine")
    out = finished_project.path / "masks"
    lines = export(finished_project.path, "geotiff", out=out, split="val")
    assert lines[-1] == (
        f"geotiff@val: 2 files -> {out}/geotiff/val; 1 of 2 with no georeference: these masks have none, either"
    )
    maps = finished_project.artifact("refine", "val")["maps"]
    with quiet(out / "geotiff/val/photo0.tif") as mask:
        assert mask.transform == PLACE["transform"]
        np.testing.assert_array_equal(mask.read(1), maps[0])
    assert (out / "geotiff/val/classes.txt").read_text().splitlines() == ["background", "cluster 1", "cluster 2"]


def test_without_rasterio_nothing_is_written(named: Path, export, tmp_path: Path, monkeypatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "rasterio" else find(name))
    with pytest.raises(ParamsError, match=r"--format geotiff: rasterio is not installed; run: pip install 'usseg\[geo"):
        export(named, "geotiff", out=tmp_path / "masks")
    assert not (tmp_path / "masks").exists()
    assert FORMATS["geotiff"].most_classes == 254
