"""The palette under normal and colour-blind vision. The reference values are of the papers that are named."""

import itertools

import numpy as np
import pytest

from usseg.stages.report.color_vision import VISIONS, contrast, difference, lab, linear, seen
from usseg.stages.report.palette import BACKGROUND, DISTINCT, palette

# Sharma, Wu and Dalal (2005), table 1: pairs of CIELAB colours and their CIEDE2000.
PAIRS = [
    ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
    ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0000),
    ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
    ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.2195),
    ((50, 2.5, 0), (73, 25, -18), 27.1492),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((22.7233, 20.0904, -46.694), (23.0331, 14.973, -42.5619), 2.0373),
    ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
]


@pytest.mark.parametrize(("first", "second", "expected"), PAIRS)
def test_ciede2000_has_the_published_values(first, second, expected: float) -> None:
    first, second = np.array(first, np.float64), np.array(second, np.float64)
    assert difference(first, second) == pytest.approx(expected, abs=5e-5)
    assert difference(second, first) == pytest.approx(expected, abs=5e-5)


def test_cielab_of_srgb_red() -> None:
    """Lindbloom, CIE Color Calculator: sRGB red under D65 is 53.24, 80.09, 67.20."""
    np.testing.assert_allclose(lab(linear(np.array([255, 0, 0], np.uint8))), [53.24, 80.09, 67.20], atol=0.02)


def test_grey_stays_grey_without_a_kind_of_cone() -> None:
    grey = np.array([[128, 128, 128]], np.uint8)
    for vision in VISIONS:
        np.testing.assert_allclose(seen(grey, vision)[0, 1:], 0, atol=0.05)


@pytest.mark.parametrize(("count", "least"), [(8, 11), (11, 11), (16, 10), (21, 8)])
@pytest.mark.parametrize("vision", VISIONS)
def test_colours_stay_apart(count: int, least: float, vision: str) -> None:
    colors = seen(np.vstack([palette(count), [BACKGROUND]]).astype(np.uint8), vision)
    assert min(float(difference(a, b)) for a, b in itertools.combinations(colors, 2)) >= least


def test_a_longer_palette_begins_with_the_shorter_one_and_has_no_colour_twice() -> None:
    assert (palette(DISTINCT)[:7] == palette(7)).all()
    assert len(np.unique(palette(DISTINCT), axis=0)) == DISTINCT
    assert palette(0).shape == (0, 3)
    assert (palette(DISTINCT + 3)[DISTINCT:] == palette(3)).all()


def test_contrast_of_black_and_white() -> None:
    black, white = np.zeros((1, 3), np.uint8), np.full((1, 3), 255, np.uint8)
    assert contrast(black, white) == pytest.approx(21)
    assert contrast(white, black) == pytest.approx(21)


def test_black_or_white_text_can_be_read_on_every_colour() -> None:
    """WCAG 2.2, AA: 4.5."""
    best = [contrast(palette(DISTINCT), np.full((1, 3), level, np.uint8)) for level in (0, 255)]
    assert np.maximum(*best).min() >= 4.5
