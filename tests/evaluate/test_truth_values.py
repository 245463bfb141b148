"""Raw label values in the stage evaluate: scores, class names in pictures, and the line if nothing is scored."""

import io
import logging
import time
import warnings

import numpy as np
import pytest
from PIL import Image

from usseg.stages.evaluate.plots import DRAWN, confusion_png

LEFT = np.tile(np.arange(8) < 4, (6, 1))
GREY = {"classes": ["background", "object"], "label_values": ["0-127", "128-255"]}


def size_of(picture: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(picture)).size


def test_ignore_is_raw_where_values_are_mapped(evaluate) -> None:
    """Raw 1 is the background and raw 2 the object; raw 0 is never scored."""
    truth = np.where(LEFT, 2, 1)
    truth[:, 0] = truth[:, 7] = 0
    wrong = LEFT.copy()
    wrong[:, 0], wrong[:, 7] = False, True
    index = {"classes": ["background", "object"], "label_values": ["1", "2"], "ignore": [0]}
    found = evaluate([wrong], [truth], index=index, method="objects")
    assert (found["accuracy"], found["iou"]) == (1, 1)


@pytest.mark.parametrize("ignore", [[], [255]])
def test_white_is_object_where_classes_are_ranges_of_grey(evaluate, ignore: list[int]) -> None:
    found = evaluate([LEFT], [np.where(LEFT, 255, 0)], index={**GREY, "ignore": ignore}, method="objects")
    assert (found["accuracy"], found["iou"]) == (1, 1)


def test_a_class_without_a_pixel_has_a_line(evaluate, caplog: pytest.LogCaptureFixture) -> None:
    evaluate([LEFT], [np.where(LEFT, 255, 0)], index={"classes": ["bg", "obj"]}, method="objects")
    assert "evaluate@val: class obj has no pixel in val; 255 is in index.ignore" in caplog.text


@pytest.mark.parametrize("method", ["objects", "partitions"])
def test_nothing_to_score_has_a_line(evaluate, caplog: pytest.LogCaptureFixture, method: str) -> None:
    found = evaluate([LEFT], [np.full((6, 8), 255)], method=method)
    main = "iou" if method == "objects" else "covering"
    assert found[main] is None
    assert "evaluate@val: nothing to score for " in caplog.text
    assert "null in metrics/val.json" in caplog.text


NAMES = ["$100% $", "a_b", "x^2 $y", "\\frac{1}{2}", "$$", "{", "<b>&amp;", "a\nb", "%", "e\u0301"]


def test_names_are_drawn_as_they_are() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = confusion_png(np.eye(len(NAMES), dtype=np.int64), NAMES, NAMES)
        plain = confusion_png(np.eye(len(NAMES), dtype=np.int64), ["x"] * len(NAMES), NAMES)
    assert drawn != plain


def test_letters_that_no_font_has_are_said_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    names = ["天空", "海", "\U0010ffff"]
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING, logger="usseg"):
        warnings.simplefilter("error")
        assert confusion_png(np.eye(3, dtype=np.int64), names, names).startswith(b"\x89PNG")
    assert caplog.text.count("no installed font has") == 1


@pytest.mark.parametrize("count", [DRAWN, DRAWN + 1, 3000])
def test_many_classes_are_drawn_in_bounds(count: int) -> None:
    started = time.process_time()
    picture = confusion_png(np.eye(count, dtype=np.int64), [f"class {i}" for i in range(count)], ["x" * 500] * count)
    assert max(size_of(picture)) < 4000
    assert time.process_time() - started < 20
