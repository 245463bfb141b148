"""A damaged or replaced photo is refused by its name, or its pixels are used completely."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from usseg.pipeline.images import read_image

SEEDS = range(45)
FORMATS = {
    "png": "PNG",
    "jpg": "JPEG",
    "tif": "TIFF",
    "webp": "WEBP",
    "bmp": "BMP",
    "gif": "GIF",
    "ppm": "PPM",
    "jp2": "JPEG2000",
}
MODES = ("RGB", "L", "RGBA", "P", "1", "I;16", "CMYK", "LA")
HEADS = {
    "a program": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "an icon": b"\0\0\1\0\1\0\20\20\0\0\1\0\40\0\4\0\0\0\26\0\0\0",
    "a PDF": b"%PDF-1.4\n",
    "a HEIC photo": b"\0\0\0\x18ftypheic\0\0\0\0heicmif1",
    "a MATLAB file": b"MATLAB 5.0 MAT-file" + bytes(120),
}


def photo(suffix: str, rng: np.random.Generator) -> tuple[bytes, str]:
    """A photo in a format, in a mode that the format has, and which."""
    pixels = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    mode = MODES[int(rng.integers(len(MODES)))]
    for tried in (mode, "RGB"):
        stream = io.BytesIO()
        image = Image.fromarray(pixels).convert("L" if tried == "I;16" else tried)
        if tried == "I;16":
            image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
        try:
            image.save(stream, FORMATS[suffix])
        except (OSError, ValueError):
            continue
        return stream.getvalue(), f"{suffix} of mode {tried}"
    raise AssertionError(suffix)


def tokens(features: Any, i: int) -> np.ndarray:
    """The patches of one photo, without padding."""
    return features["patches"][i, : int(np.prod(features["grid"][i]))]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_spoilt_photo(
    seed: int,
    class_project: Path,
    tmp_path: Path,
    copied: Callable[[Path, Path], Any],
    spoil: Callable[..., tuple[bytes, str]],
    attempt: Callable[..., str | None],
    is_finite: Callable[[Any], bool],
) -> None:
    rng = np.random.default_rng([1, seed])
    suffix = list(FORMATS)[seed % len(FORMATS)]
    content, kind = photo(suffix, rng)
    if rng.random() < 0.15:
        name = list(HEADS)[int(rng.integers(len(HEADS)))]
        spoilt, what = HEADS[name] + content, f"begins as {name}"
    else:
        spoilt, what = spoil(content, rng)
    skip = bool(rng.random() < 0.3)
    print(f"seed {seed}: {kind}: {what}{', skipped if bad' if skip else ''}")
    project = copied(class_project, tmp_path)
    target = project.path / "data/images/train/photo1.png"  # Pillow goes by the content
    target.write_bytes(content)
    whole = read_image(target)
    target.write_bytes(spoilt)
    if rng.random() < 0.2:
        project.set({"features.options.stride": 4})
        assert attempt(lambda: project.run("features"), target.name), "a photo that has changed since index was used"
        project.set({"features.options.stride": 8})
    project.set({"index.on_error": "skip" if skip else "fail"})
    before = project.artifact("features")
    patches = [tokens(before, i) for i in (0, 2)]
    message = attempt(lambda: project.run("index"), target.name)
    if message is not None:
        assert not skip, message
        return
    index, features = project.artifact("index"), project.run("features")
    assert index.num_images == features.num_images
    assert index.num_images in ((2, 3) if skip else (3,))
    assert is_finite(features)
    assert np.array_equal(tokens(features, 0), patches[0]), "another photo has other features"
    assert np.array_equal(tokens(features, index.num_images - 1), patches[1]), "another photo has other features"
    if index.num_images == 3 and what.startswith(("cut", "without its last")):
        assert np.array_equal(read_image(target), whole), "a part of a photo was used without a word"
