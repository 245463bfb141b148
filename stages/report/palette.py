"""Colours of classes, clusters and segments that people with and without colour-blind eyes tell apart."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
BACKGROUND = (60, 60, 66)
VOID = (150, 150, 150)  # pixels without a label, or with one outside of the palette
LEVELS = (0, 36, 72, 108, 144, 180, 216, 240, 255)  # of red, green and blue in the colours to choose from
LIGHT, COLORFUL = (30, 93), 28  # range of L*, and least chroma, of the chosen colours
# The first colours: Okabe and Ito, Color Universal Design (2008), without black.
FIRST = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (240, 228, 66), (213, 94, 0))
DISTINCT = 192  # colours that are chosen; after them they repeat


def palette(count: int) -> U8:
    """Colours, uint8 RGB (count, 3). A longer palette begins with the shorter one. After DISTINCT they repeat.

    The first ones are FIRST. Each further colour is the one whose least difference to all before it, to BACKGROUND and
    to VOID is largest. A difference is the least CIEDE2000 of normal, protan and deutan vision.
    """
    return np.resize(chosen(), (count, 3)) if count else np.zeros((0, 3), np.uint8)


@lru_cache(maxsize=1)
def chosen() -> U8:
    """The first DISTINCT colours."""
    from usseg.stages.report.color_vision import VISIONS, difference, seen

    levels = np.array(LEVELS, np.uint8)
    colors = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    plain = seen(colors, "normal")
    usable = (plain[:, 0] >= LIGHT[0]) & (plain[:, 0] <= LIGHT[1]) & (np.hypot(plain[:, 1], plain[:, 2]) >= COLORFUL)
    first = np.array(FIRST, np.uint8)
    colors = np.vstack([first, colors[usable]])
    views = [seen(colors, vision) for vision in VISIONS]
    nearest = np.full(len(colors), np.inf)

    def mark(rgb: U8) -> None:
        for vision, view in zip(VISIONS, views, strict=True):
            np.minimum(nearest, difference(view, seen(rgb, vision)), out=nearest)

    for rgb in np.array([BACKGROUND, VOID, *FIRST], np.uint8):
        mark(rgb)
    picks = list(range(len(first)))
    while len(picks) < DISTINCT:
        picks.append(int(nearest.argmax()))
        mark(colors[picks[-1]])
    return np.asarray(colors[picks])
