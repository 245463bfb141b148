from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from usseg.pipeline.errors import ImageError
from usseg.pipeline.images import read_image
from usseg.pipeline.labels import read_labels

GREY = np.array([[0, 64, 128], [160, 192, 255]], np.uint8)
COLOR = np.stack([GREY, 255 - GREY, np.full_like(GREY, 90)], axis=2)
MASK = np.array([[0, 1, 1], [1, 0, 1]], np.uint8)  # 0: transparent


def on_white(color: np.ndarray) -> np.ndarray:
    return np.where(MASK[..., None] == 1, color, 255)


def grey3(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


def palette_image() -> Image.Image:
    image = Image.fromarray(np.where(MASK, 1, 2).astype(np.uint8), "P")
    image.putpalette([0, 0, 0, 10, 20, 30, 40, 50, 60])
    return image


PALETTE = np.where(MASK[..., None] == 1, [10, 20, 30], [40, 50, 60])
MODES: dict[str, tuple[Callable[[], Image.Image], str, dict, np.ndarray]] = {
    "rgb": (lambda: Image.fromarray(COLOR), "png", {}, COLOR),
    "rgba": (lambda: Image.fromarray(np.dstack([COLOR, MASK * 255])), "png", {}, on_white(COLOR)),
    "grey": (lambda: Image.fromarray(GREY), "png", {}, grey3(GREY)),
    "grey and alpha": (lambda: Image.fromarray(np.dstack([GREY, MASK * 255]), "LA"), "png", {}, on_white(grey3(GREY))),
    "palette": (palette_image, "png", {}, PALETTE),
    "transparent palette entry": (palette_image, "png", {"transparency": 2}, on_white(PALETTE)),
    "palette with alphas": (palette_image, "png", {"transparency": b"\xff\xff\x00"}, on_white(PALETTE)),
    "gif": (palette_image, "gif", {}, PALETTE),
    "one bit": (lambda: Image.fromarray(MASK * 255).convert("1"), "png", {}, grey3(MASK * 255)),
    "16 bit": (lambda: Image.fromarray(GREY.astype(np.uint16) * 257), "png", {}, grey3(GREY)),
    "float": (lambda: Image.fromarray((GREY / 255).astype(np.float32)), "tif", {}, grey3(GREY)),
    "float to 255": (lambda: Image.fromarray(GREY.astype(np.float32)), "tif", {}, grey3(GREY)),
    "cmyk": (lambda: Image.fromarray(COLOR).convert("CMYK"), "tif", {}, COLOR),
    "bmp": (lambda: Image.fromarray(COLOR), "bmp", {}, COLOR),
    "webp": (lambda: Image.fromarray(COLOR), "webp", {"lossless": True}, COLOR),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", MODES)
def test_mode(tmp_path: Path, name: str) -> None:
    make, suffix, options, expected = MODES[name]
    path = tmp_path / f"image.{suffix}"
    make().save(path, **options)
    found = read_image(path)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


def test_cmyk_jpeg(tmp_path: Path) -> None:
    Image.new("RGB", (16, 8), (200, 60, 20)).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    found = read_image(tmp_path / "a.jpg")
    np.testing.assert_allclose(found, np.broadcast_to([200, 60, 20], (8, 16, 3)), atol=3)


@pytest.mark.filterwarnings("error")
def test_what_is_not_finite_is_black(tmp_path: Path) -> None:
    Image.fromarray(np.array([[np.nan, np.inf, -np.inf, -1, 1]], np.float32)).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[0, :, 0], [0, 0, 0, 0, 255])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(tmp_path: Path, orientation: int) -> None:
    """The red corner of the upright image stays top left, whatever way the pixels are stored."""
    upright = np.full((16, 32, 3), 255, np.uint8)
    upright[:8, :8] = [255, 0, 0]
    undo = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90",
            7: "TRANSVERSE", 8: "ROTATE_270"}  # fmt: skip
    stored = Image.fromarray(upright)
    if orientation in undo:
        stored = stored.transpose(Image.Transpose[undo[orientation]])
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.jpg", exif=exif, quality=95)
    found = read_image(tmp_path / "a.jpg")
    assert found.shape == (16, 32, 3)
    assert found[2, 2, 1] < 100 < found[-2, -2, 1]


BROKEN = {
    "truncated.jpg": lambda whole: whole[: len(whole) // 2],
    "truncated.png": lambda whole: whole[: len(whole) // 2],
    "truncated.tif": lambda whole: whole[: len(whole) // 2],
    "truncated.webp": lambda whole: whole[: len(whole) // 2],
    "text.jpg": lambda whole: b"this is no image\n",
    "empty.png": lambda whole: b"",
    "header_only.png": lambda whole: whole[:8],
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("read", [read_image, read_labels])
def test_broken_file_is_named(tmp_path: Path, name: str, read: Callable[[Path], np.ndarray]) -> None:
    path = tmp_path / name
    pixels = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    suffix = path.suffix.replace("jpg", "jpeg").replace("tif", "tiff")[1:]
    Image.fromarray(pixels).save(path, suffix.upper())
    path.write_bytes(BROKEN[name](path.read_bytes()))
    with pytest.raises(ImageError, match=name) as error:
        read(path)
    assert "\n" not in str(error.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.png: no such file"):
        read_image(tmp_path / "gone.png")


def test_a_decoder_that_fails_in_its_own_way_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AVIF raises RuntimeError."""
    Image.fromarray(COLOR).save(tmp_path / "a.png")

    for error, line in (
        (RuntimeError("Conversion from YUV failed:\nReformat failed"), "Conversion from YUV failed: Reformat failed"),
        (MemoryError(), "MemoryError"),
    ):

        def broken(self: Image.Image, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", broken)
        with pytest.raises(ImageError, match=rf"a\.png: {line}$"):
            read_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("image", "values"),
    [
        (Image.fromarray(GREY), GREY),
        (palette_image(), np.where(MASK, 1, 2)),
        (Image.fromarray(MASK * 255).convert("1"), MASK),
        (Image.fromarray(GREY.astype(np.uint16) * 200), GREY.astype(np.int64) * 200),
    ],
)
def test_labels_are_read_as_stored(tmp_path: Path, image: Image.Image, values: np.ndarray) -> None:
    image.save(tmp_path / "labels.png")
    found = read_labels(tmp_path / "labels.png")
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize(("pixels", "mode"), [(COLOR, "RGB"), (GREY.astype(np.float32), "F")])
def test_labels_need_one_channel_of_integers(tmp_path: Path, pixels: np.ndarray, mode: str) -> None:
    Image.fromarray(pixels).save(tmp_path / "labels.tif")
    with pytest.raises(ImageError, match=rf"labels\.tif: found mode {mode}; labels need one channel"):
        read_labels(tmp_path / "labels.tif")
