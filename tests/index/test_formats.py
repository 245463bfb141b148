"""Unusual image files: deep greys, several pages, large sizes, and files that are no images."""

import os
import socket
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from usseg.pipeline.errors import ImageError
from usseg.pipeline.images import Unread, check_header, read_image
from usseg.pipeline.labels import read_labels

GREY = np.array([[3, 64, 128], [160, 192, 237]], np.uint8)
SHARED = Path(__file__).resolve().parents[3] / "shared/faults"


def tiff(path: Path, values: np.ndarray, *, sample_format: int, most: int | None = None) -> Path:
    """A bare TIFF of one channel, with MaxSampleValue where given."""
    data = values.tobytes()
    tags = {256: values.shape[1], 257: values.shape[0], 258: values.itemsize * 8, 259: 1, 262: 1, 273: 8, 277: 1}
    tags |= {278: values.shape[0], 279: len(data), 339: sample_format} | ({281: most} if most is not None else {})
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in sorted(tags.items()))
    head = b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags))
    path.write_bytes(head + entries + struct.pack("<I", 0))
    return path


def saved(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values).save(path)
    return path


def pgm(path: Path, values: np.ndarray, most: int) -> Path:
    path.write_bytes(b"P5\n%d %d\n%d\n" % (*values.shape[::-1], most) + values.astype(">u2").tobytes())
    return path


DEEP = {
    "8 bits in int32": lambda folder: saved(folder / "a.tif", GREY.astype(np.int32)),
    "12 bits in int32": lambda folder: saved(folder / "a.tif", GREY.astype(np.int32) * 16),
    "20 bits in int32": lambda folder: saved(folder / "a.tif", np.vstack([GREY, [[255] * 3]]).astype(np.int32) * 4096),
    "10 bits in 16": lambda folder: saved(folder / "a.png", GREY.astype(np.uint16) * 4),
    "12 bits in 16": lambda folder: saved(folder / "a.png", GREY.astype(np.uint16) * 16),
    "14 bits in 16": lambda folder: saved(folder / "a.tif", GREY.astype(np.uint16) * 64),
    "16 bits": lambda folder: saved(folder / "a.png", GREY.astype(np.uint16) * 257),
    "int16": lambda folder: tiff(folder / "a.tif", GREY.astype("<i2") * 16, sample_format=2),
    "uint32": lambda folder: tiff(
        folder / "a.tif", np.vstack([GREY, [[255] * 3]]).astype("<u4") << 24, sample_format=1
    ),
    "declared by TIFF": lambda folder: tiff(folder / "a.tif", GREY.astype("<u2") * 2, sample_format=1, most=510),
    "wrongly declared": lambda folder: tiff(folder / "a.tif", GREY.astype("<u2") * 16, sample_format=1, most=255),
    "as deep as can be": lambda folder: tiff(folder / "a.tif", GREY.astype("<u2") * 16, sample_format=1, most=65535),
    "declared by PGM": lambda folder: pgm(folder / "a.pgm", GREY.astype(int) * 4, 1020),
    "12 bits in PGM": lambda folder: pgm(folder / "a.pgm", GREY.astype(int) * 16, 65535),
}


@pytest.mark.parametrize("name", DEEP)
def test_deep_greys_are_scaled_by_their_own_range(tmp_path: Path, name: str) -> None:
    """Wherever the range is a power of two and not 255 steps of it, a level is lost at most."""
    found = read_image(DEEP[name](tmp_path))[:2, :, 0].astype(int)
    np.testing.assert_allclose(found, GREY, atol=1)


def test_a_dark_image_that_declares_its_range_stays_dark(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_image(pgm(tmp_path / "a.pgm", np.full((1, 3), 40), 4095))[..., 0], 2)
    path = tiff(tmp_path / "a.tif", np.full((1, 3), 40, "<u2"), sample_format=1, most=4095)
    np.testing.assert_array_equal(read_image(path)[..., 0], 2)


def test_negative_integers_are_black(tmp_path: Path) -> None:
    found = read_image(saved(tmp_path / "a.tif", np.array([[-1000, 0, 255]], np.int32)))
    np.testing.assert_array_equal(found[0, :, 0], [0, 0, 255])


@pytest.mark.skipif(not SHARED.exists(), reason="no ../shared/faults beside the clone")
def test_the_given_deep_greys_equal_their_reference() -> None:
    folder = SHARED / "17_int32_tiff/data/i"
    reference = read_image(folder / "uint8_reference.png")
    np.testing.assert_array_equal(read_image(folder / "int32_8bit_values.tif"), reference)
    assert np.abs(read_image(folder / "uint16_12bit_values.png").astype(int) - reference).max() <= 1


COLORS = [np.full((8, 16, 3), color, np.uint8) for color in ((250, 10, 10), (10, 250, 10), (10, 10, 250))]


@pytest.mark.parametrize("suffix", ["tif", "gif", "png", "webp", "mpo", "avif"])
def test_the_first_page_is_read_and_the_others_are_counted(tmp_path: Path, suffix: str) -> None:
    first, *others = [Image.fromarray(color) for color in COLORS]
    first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=others)
    path = (tmp_path / f"a.{suffix}").rename(tmp_path / "a.jpg" if suffix == "mpo" else tmp_path / f"a.{suffix}")
    assert check_header(path, 1000).pages == 2
    np.testing.assert_allclose(read_image(path), COLORS[0], atol=8)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "bmp", "gif", "ppm", "jp2", "avif"])
def test_every_format_is_read(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"a.{suffix}", COLORS[0])
    assert check_header(path, 1000) == Unread()
    np.testing.assert_allclose(read_image(path), COLORS[0], atol=8)


OTHERS = {
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
    "eps for DOS": b"\xc5\xd0\xd3\xc6" + bytes(40),
    "pdf": b"%PDF-1.7\n",
    "psd": b"8BPS" + bytes(40),
    "ico": b"\0\0\1\0\1\0" + bytes(40),
    "tga": bytes([0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 24, 0, 1, 2, 3]),
}


@pytest.mark.parametrize("read", [read_image, read_labels])
@pytest.mark.parametrize("name", OTHERS)
def test_other_formats_start_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, read) -> None:
    """Pillow would start Ghostscript for a PNG that begins like PostScript."""
    monkeypatch.setattr("subprocess.Popen", None)
    (tmp_path / "photo.png").write_bytes(OTHERS[name])
    with pytest.raises(ImageError, match=r"photo\.png: not an image that Pillow can read.*; JPEG, PNG, .* are read"):
        read(tmp_path / "photo.png")


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1", b"msf1", b"hevc"])
def test_heic_names_the_package_that_reads_it(tmp_path: Path, brand: bytes) -> None:
    (tmp_path / "photo.HEIC").write_bytes(b"\0\0\0\x18ftyp" + brand + bytes(40))
    with pytest.raises(ImageError, match=r"photo\.HEIC: HEIC; run: pip install pillow-heif, or convert it to JPEG$"):
        read_image(tmp_path / "photo.HEIC")


@pytest.mark.skipif(not SHARED.exists(), reason="no ../shared/faults beside the clone")
def test_the_given_eps_starts_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subprocess.Popen", None)
    with pytest.raises(ImageError, match=r"eps_named\.png: not an image that Pillow can read, found PostScript"):
        read_image(SHARED / "files/eps_named.png")


def no_file(path: Path, kind: str) -> None:
    if kind == "folder":
        path.mkdir()
    elif kind == "FIFO":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "dangling":
        path.symlink_to("gone.png")
    else:
        path.symlink_to(path.name)


@pytest.mark.parametrize("suffix", ["png", "mat"])
@pytest.mark.parametrize("read", [read_image, read_labels])
@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("folder", "found a folder; a file is needed"),
        ("FIFO", "found a FIFO; a file is needed"),
        ("socket", "found a socket; a file is needed"),
        ("device", "found a device; a file is needed"),
        ("dangling", r"a link to gone\.png, which does not exist"),
        ("loop", "Too many levels of symbolic links"),
    ],
)
def test_what_is_no_file_is_never_opened(tmp_path: Path, kind: str, line: str, suffix: str, read, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    path = Path(f"a.{suffix}")
    no_file(path, kind)
    with pytest.raises(ImageError, match=rf"a\.{suffix}: {line}$"):
        read(path)


@pytest.mark.filterwarnings("error")
def test_the_limit_of_pixels_is_held_against_the_header(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("1", (20_000, 10_000)).save(path)
    assert path.stat().st_size < 200_000
    with pytest.raises(
        ImageError, match=r"large\.png: found 20000 x 10000 = 200,000,000 pixels; index\.max_pixels allows"
    ):
        check_header(path, 178_956_970)
    assert check_header(path, 200_000_000) == Unread()


@pytest.mark.parametrize(
    ("mode", "orientation"), [("RGB", 1), ("RGB", 6), ("RGBA", 1), ("P", 8), ("I;16", 3), ("L", 5)]
)
def test_strips_join_without_a_seam(tmp_path: Path, monkeypatch, mode: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    grey = np.random.default_rng(0).integers(0, 255, (40, 30), dtype=np.uint8)
    image = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(grey).convert(mode)
    image.save(tmp_path / "a.png", exif=exif)
    whole = read_image(tmp_path / "a.png")
    monkeypatch.setattr("usseg.pipeline.images.STRIP", 100)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), whole)
    turned = {1: grey, 3: grey[::-1, ::-1], 5: grey.T, 6: np.rot90(grey, -1), 8: np.rot90(grey)}[orientation]
    np.testing.assert_array_equal(whole[..., 1], turned)
