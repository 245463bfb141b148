"""Label images: raw values of every mode, their meaning, and the lines about a split."""

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from usseg.pipeline.errors import ImageError
from usseg.pipeline.label_tally import LabelCounts, LabelTally
from usseg.pipeline.label_values import LabelValues, label_table
from usseg.pipeline.labels import read_labels
from usseg.results.datasets import find_layout
from usseg.results.datasets.layouts import settings_of
from usseg.stages.index.stage import IndexParams

MASK = np.array([[0, 1, 1, 0], [1, 1, 0, 0]], np.uint8)
GREY = LabelValues(("background", "object"), ("0-127", "128-255"), ())
ECSSD = LabelValues.of(settings_of(find_layout("ecssd"), Path("public"))["index"])


def palette(indices: np.ndarray, *colors: tuple[int, int, int]) -> Image.Image:
    image = Image.fromarray(indices).convert("L")
    out = Image.new("P", image.size)
    out.frombytes(image.tobytes())
    out.putpalette([part for color in colors for part in color])
    return out


def rgb(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[:, :, None], 3, axis=2)


BLACK, WHITE, RED = (0, 0, 0), (255, 255, 255), (200, 0, 0)
OPAQUE = np.full((*MASK.shape, 1), 255, np.uint8)
MASKS = {
    "grey": Image.fromarray(MASK * 255),
    "grey edges": Image.fromarray(MASK * 120 + 70),
    "1 bit": Image.fromarray(MASK * 255).convert("1"),
    "palette": palette(MASK, BLACK, WHITE),
    "palette the other way": palette(1 - MASK, WHITE, BLACK),
    "palette of red": palette(MASK, BLACK, RED),
    "long palette of greys": palette(MASK * 3 + 2, *[(v, v, v) for v in (9, 8, 0, 7, 6, 255)]),
    "RGB": Image.fromarray(rgb(MASK * 255)),
    "RGBA": Image.fromarray(np.dstack([rgb(MASK * 255), OPAQUE])),
    "LA": Image.fromarray(np.dstack([MASK * 255, OPAQUE])),
    "PA": palette(MASK, BLACK, WHITE).convert("PA"),
    "16 bits": Image.fromarray(MASK.astype(np.uint16) * 65535),
    "16 bits of 8": Image.fromarray(MASK.astype(np.uint16) * 255),
}


@pytest.mark.parametrize("values", [GREY, ECSSD, LabelValues(GREY.classes, GREY.label_values, (255,))])
@pytest.mark.parametrize("mode", MASKS)
def test_a_mask_of_two_greys_is_one_in_every_mode(tmp_path: Path, mode: str, values: LabelValues) -> None:
    path = tmp_path / ("mask.tif" if "A" in mode else "mask.png")
    MASKS[mode].save(path)
    np.testing.assert_array_equal(values.to_classes(read_labels(path, values)), MASK)


@pytest.mark.parametrize(
    ("suffix", "mode"), [("jpg", "L"), ("jpg", "RGB"), ("webp", "RGB"), ("bmp", "1"), ("pbm", "1")]
)
def test_a_mask_of_two_greys_in_other_formats(tmp_path: Path, suffix: str, mode: str) -> None:
    truth = np.zeros((40, 48), np.uint8)
    truth[8:24, 16:40] = 1
    Image.fromarray(truth * 255).convert(mode).save(tmp_path / f"mask.{suffix}")
    found = GREY.to_classes(read_labels(tmp_path / f"mask.{suffix}", GREY))
    np.testing.assert_array_equal(found[12:20, 20:36], 1)
    np.testing.assert_array_equal(found[:4], 0)
    assert set(np.unique(found).tolist()) == {0, 1}


@pytest.mark.parametrize("mode", ["1 bit", "palette", "palette of red"])
def test_two_values_without_the_class_value_255_are_class_numbers(tmp_path: Path, mode: str) -> None:
    MASKS[mode].save(tmp_path / "mask.png")
    for values in (LabelValues(("a", "b"), (), (255,)), LabelValues(("a", "b"), ("0", "1"), (255,))):
        np.testing.assert_array_equal(values.to_classes(read_labels(tmp_path / "mask.png", values)), MASK)


@pytest.mark.parametrize("classes", [2, 3])
def test_class_numbers_under_ranges_of_grey_are_refused(tmp_path: Path, classes: int) -> None:
    values = LabelValues(("a", "b", "c")[:classes], ("0-84", "85-169", "170-255")[:classes], ())
    values = values if classes == 3 else GREY
    Image.fromarray(MASK * (classes - 1)).save(tmp_path / "mask.png")
    with pytest.raises(ImageError, match=r"mask\.png: found the values 0 to ., which are class numbers; .* to \[\]"):
        read_labels(tmp_path / "mask.png", values)


def test_black_masks_and_merged_numbers_are_not_taken_for_class_numbers(tmp_path: Path) -> None:
    Image.fromarray(MASK * 0).save(tmp_path / "black.png")
    assert not read_labels(tmp_path / "black.png", GREY).any()
    Image.fromarray(MASK).save(tmp_path / "mask.png")
    merged = LabelValues(("a", "b"), ("0-1", "2"), ())
    assert not merged.to_classes(read_labels(tmp_path / "mask.png", merged)).any()


def test_ignore_holds_raw_values() -> None:
    raw = np.array([0, 1, 2, 3])
    for label_values, ignore, expected in (
        (("1", "2"), (0,), [-1, 0, 1, -1]),
        (("1", "2"), (1,), [-1, -1, 1, -1]),
        (("0, 3", "1-2"), (3, 1), [0, -1, 1, -1]),
        ((), (0,), [-1, 1, -1, -1]),
    ):
        np.testing.assert_array_equal(LabelValues(("a", "b"), label_values, ignore).to_classes(raw), expected)
    trimap = LabelValues(GREY.classes, ("0-127", "128-255"), (128, 255))
    np.testing.assert_array_equal(trimap.to_classes(np.array([0, 127, 128, 129, 255])), [0, 0, -1, 1, 1])


COLORS = LabelValues(("road", "sky"), ("#804080, #111111", "#4682B4"), ("#000000",))


def test_colors_are_looked_up(tmp_path: Path) -> None:
    pixels = np.array([[[128, 64, 128], [17, 17, 17]], [[70, 130, 180], [0, 0, 0]]], np.uint8)
    expected = [[0, 0], [1, -1]]
    Image.fromarray(pixels).save(tmp_path / "rgb.png")
    Image.fromarray(np.dstack([pixels, np.full((2, 2, 1), 255, np.uint8)])).save(tmp_path / "rgba.png")
    palette(
        np.array([[5, 1], [0, 2]], np.uint8), (70, 130, 180), (17, 17, 17), BLACK, BLACK, BLACK, (128, 64, 128)
    ).save(tmp_path / "palette.png")
    for name in ("rgb", "rgba", "palette"):
        np.testing.assert_array_equal(COLORS.to_classes(read_labels(tmp_path / f"{name}.png", COLORS)), expected)
    Image.fromarray(np.full((2, 2), 17, np.uint8)).save(tmp_path / "grey.png")
    assert not COLORS.to_classes(read_labels(tmp_path / "grey.png", COLORS)).any()
    with pytest.raises(
        ImageError, match=r"rgb\.png: found mode RGB; .* or colours in index\.label_values, such as '#804080'"
    ):
        read_labels(tmp_path / "rgb.png", GREY)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB", "F"])
@pytest.mark.parametrize("values", [GREY, COLORS])
def test_other_modes_are_refused_by_name(tmp_path: Path, mode: str, values: LabelValues) -> None:
    Image.new(mode, (4, 2)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match=rf"a\.tif: found mode {mode}; labels need one channel"):
        read_labels(tmp_path / "a.tif", values)


def test_transparent_labels_are_refused(tmp_path: Path) -> None:
    alpha = np.full((*MASK.shape, 1), 255, np.uint8)
    alpha[0, :2] = 3
    Image.fromarray(np.dstack([rgb(MASK), alpha])).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"a\.png: 2 pixels are transparent; labels need an opaque image"):
        read_labels(tmp_path / "a.png")


def test_a_pgm_of_another_maximum_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pgm").write_bytes(b"P5 4 2 7\n" + MASK.tobytes())
    with pytest.raises(ImageError, match=r"a\.pgm: its maximum is 7; labels need a maximum of 255"):
        read_labels(tmp_path / "a.pgm")
    (tmp_path / "b.pgm").write_bytes(b"P5 4 2 255\n" + MASK.tobytes())
    np.testing.assert_array_equal(read_labels(tmp_path / "b.pgm"), MASK)


def parsed(**keys) -> IndexParams:
    return IndexParams(root=".", splits={"train": {"images": "*"}}, **{"classes": ["a", "b"], **keys})


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"label_values": ["0"]}, "1 entries for the 2 of index.classes"),
        ({"label_values": ["0", "1", "2"]}, "3 entries for the 2"),
        ({"classes": [], "label_values": ["0"]}, "1 entries for the 0"),
        ({"label_values": ["9-1", "0"]}, "the range 9-1 is reversed; 1-9 is allowed"),
        ({"label_values": ["0-5", "5-9"]}, "value 5 is named twice"),
        ({"label_values": ["0-99999999", "#"]}, "other entries are colours"),
        ({"label_values": ["0-99999999", "100000000"]}, "at most 65536 of them a range"),
        ({"label_values": ["0", "99999999999999999999"]}, "values such as '7'"),
        ({"label_values": ["0", ",".join(f"{i * 60000 + 9}-{i * 60000 + 50000}" for i in range(9))]}, "for all classes"),
        ({"label_values": ["²", "1"]}, "values such as '7'"),
        ({"label_values": ["#804080", "7"]}, "so only colours"),
        ({"label_values": ["#80408", "#111111"]}, "so only colours"),
        ({"label_values": ["#804080", "#804080"]}, "value #804080 is named twice"),
        ({"ignore": [-(2**40)]}, "greater than or equal to"),
        ({"ignore": ["black"]}, "a number such as 255 or a colour such as '#804080' is allowed"),
        ({"ignore": ["#000000"]}, "'#000000' is a colour, and label_values are numbers"),
        ({"ignore": [0], "label_values": ["#804080", "#111111"]}, "0 is no colour, and label_values are colours"),
        ({"classes": ["a", "a"]}, "'a' is named twice"),
        ({"classes": ["e\u0301", "\u00e9"]}, "is named twice"),
        ({"classes": ["a", " "]}, "a class without a name"),
        ({"classes": ["a", ""]}, "a class without a name"),
    ],
)  # fmt: skip
def test_params_that_cannot_be_meant_are_refused_at_once(keys: dict, line: str) -> None:
    started = time.process_time()
    with pytest.raises(ValidationError) as error:
        parsed(**keys)
    assert line in str(error.value)
    assert time.process_time() - started < 1


def test_settings_that_are_allowed() -> None:
    assert parsed(label_values=["0-127", "128-255"]).ignore == [255]
    assert parsed(label_values=["#804080", "#111111"]).ignore == [255]
    assert label_table(["0-65535"])[65535] == 0


def lines(values: LabelValues, *images: tuple[dict[int, int], dict[int, int]]) -> list[str]:
    tally = LabelTally(values)
    for image in images:
        tally.add(LabelCounts(*image))
    return tally.lines("train")


def test_what_is_said_of_a_split() -> None:
    plain = LabelValues(("bg", "obj"), (), (255,))
    assert lines(plain, ({0: 5}, {}), ({1: 5}, {})) == []
    assert lines(plain, ({0: 5}, {})) == ["class obj has no pixel in train"]
    (line,) = lines(plain, ({0: 5}, {255: 5}))
    assert line.startswith("class obj has no pixel in train; 255 is in index.ignore; for masks of 0 and 255 set")
    many = LabelValues(tuple("abcdefgh"), (), (255,))
    assert lines(many, ({0: 1}, {})) == ["classes b, c, d, e, f and 2 more have no pixel in train"]
    assert lines(COLORS, ({0: 6, 1: 1}, {0x102030: 3})) == [
        "3 pixels (30.0 %) of train have label values that no class has: #102030; they are not scored"
    ]
    assert lines(plain) == []


def test_three_thousand_values_take_no_time() -> None:
    values = LabelValues(tuple(map(str, range(3000))), (), ())
    raw = np.random.default_rng(0).integers(0, 3000, (1000, 1000))
    started = time.process_time()
    np.testing.assert_array_equal(values.to_classes(raw), raw)
    assert time.process_time() - started < 5
