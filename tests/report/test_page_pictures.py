"""Pictures of the page from plain arrays."""

import base64
import json
import zlib

import numpy as np
import pytest

from usseg.stages.report.label_anchors import label_anchors
from usseg.stages.report.page_script import call, packed
from usseg.stages.report.pictures import draw_boxes
from usseg.stages.report.segment_crop import LEAST, outlined_crop, square_window


def test_frames_of_boxes_are_drawn_on_a_copy() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    found = draw_boxes(image, np.array([[5, 4, 25, 16]]), color=(9, 8, 7))
    assert not image.any()
    assert (found[4, 5:25] == (9, 8, 7)).all()
    assert (found[15, 24] == (9, 8, 7)).all()
    assert not found[10, 15].any()


@pytest.mark.parametrize(
    ("box", "size"), [((0, 0, 96, 2), (200, 300)), ((290, 190, 300, 200), (200, 300)), ((0, 0, 300, 200), (200, 300))]
)
def test_a_window_is_a_square_around_the_box(box, size) -> None:
    left, top, side = square_window(box, size)
    assert LEAST <= side <= max(size)
    assert left <= box[0]
    assert left + side >= box[2]
    assert top <= box[1]
    assert top + side >= box[3]
    if side <= min(size):
        assert left >= 0
        assert top >= 0
        assert left + side <= size[1]
        assert top + side <= size[0]


def test_a_flat_segment_has_a_square_crop_with_its_surroundings() -> None:
    image = np.full((100, 200, 3), 90, np.uint8)
    mask = np.zeros((100, 200), bool)
    mask[50:52, 10:106] = True
    crop = outlined_crop(image, mask, (10, 50, 106, 52), side=64)
    assert crop.shape == (64, 64, 3)
    assert crop.max() == 255  # the outline
    assert (crop == 90).all(axis=2).mean() > 0.5  # the surroundings keep their colour


def test_numbers_are_inside_their_regions() -> None:
    labels = np.zeros((40, 60), np.int16)
    labels[5:35, 5:20] = 3
    labels[10:30, 30:58] = 300
    labels[0, 59] = 7  # too small
    labels[:5] = np.where(labels[:5] == 0, -1, labels[:5])
    found = label_anchors(labels)
    assert [label for label, _, _ in found] == [300, 3]
    for label, x, y in found:
        assert labels[int(y * 40), int(x * 60)] == label
    assert label_anchors(np.zeros((4, 4), np.int16)) == []


@pytest.mark.parametrize("most", [0, 254, 255, 32_767])
def test_labels_are_packed_exactly(most: int) -> None:
    labels = np.array([[-1, 0, most], [most, -1, 0]], np.int16)
    found = packed(labels)
    stored = np.frombuffer(zlib.decompress(base64.b64decode(found["data"])), f"<u{found['bytes']}")
    np.testing.assert_array_equal(stored.reshape(found["h"], found["w"]).astype(int) - 1, labels)
    assert found["bytes"] == (1 if most < 255 else 2)


def test_a_script_is_ascii_and_cannot_end_its_element() -> None:
    name = "</script><!-- \u2028 é \udc80"
    text = call("f", {"name": name}, 3).decode("ascii")
    assert "<" not in text
    assert text.startswith("USSEG.f(")
    assert json.loads(f"[{text[len('USSEG.f(') : -3]}]") == [{"name": name}, 3]
