"""Outlines of objects in COCO files: polygons or run lengths, and their masks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.errors import ImageError


def outline_mask(outline: Any, size: tuple[int, int], where: str) -> npt.NDArray[np.bool_]:
    """The mask of an object, bool (height, width), as the COCO API draws it.

    Args:
        outline: polygons, each float64 [x1, y1, x2, y2, ...] in pixels; or a dict of run lengths with `size` and
            `counts`.
        size: height and width of the mask.
        where: the place of the object in the file, for messages.

    Raises:
        ImageError: the outline is missing or malformed, a corner lies outside of the image, or the size differs.
    """
    from pycocotools import mask as coco_mask

    height, width = size
    if isinstance(outline, Mapping):
        lengths = run_lengths(outline, where)
        if outline.get("size") != [height, width] or sum(lengths) != height * width:
            raise ImageError(
                f"{where}: run lengths of {sum(lengths)} pixels and size {outline.get('size')!r} for an image of "
                f"{width} x {height}; size [height, width] is needed"
            )
        return drawn_runs(lengths, size)
    if not outline:
        raise ImageError(f"{where}: no segmentation; polygons or run lengths are needed, or index.classes [] for boxes")
    if not isinstance(outline, list):
        raise ImageError(f"{where}: segmentation: found {shown(outline)}; polygons or run lengths are needed")
    for corners in outline:
        if (
            not isinstance(corners, np.ndarray)
            or len(corners) < 6
            or len(corners) % 2
            or not np.isfinite(corners).all()
        ):
            raise ImageError(
                f"{where}: segmentation: found {shown(corners)}; polygons [x1, y1, x2, y2, x3, y3, ...] are needed"
            )
        pairs = corners.reshape(-1, 2)
        outside = ((pairs < -1) | (pairs > np.array([width, height]) + 1)).any(axis=1)
        if outside.any():
            raise ImageError(
                f"{where}: the corner {pairs[outside][0].tolist()} is outside of {width} x {height} pixels"
            )
    merged = coco_mask.merge(coco_mask.frPyObjects([corners.tolist() for corners in outline], height, width))
    return drawn_runs(run_lengths({"counts": merged["counts"].decode()}, where), size)


def drawn_runs(lengths: Sequence[int], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """The mask, bool (height, width), of run lengths in column order. Their sum must be height x width."""
    height, width = size
    inside = np.arange(len(lengths)) % 2 == 1  # the runs alternate, and the first one lies outside of the object
    return np.repeat(inside, lengths).reshape(width, height).T


def run_lengths(outline: Mapping[str, Any], where: str) -> list[int]:
    """Run lengths of a mask in column order, from a list or from COCO's compressed string.

    The first run lies outside of the object. In a compressed string, each character has 5 bits of a number, the lowest
    bits first, and a bit that says whether the number continues. From the fourth run on, a number is the difference to
    the run before the last.

    Raises:
        ImageError: `counts` is neither a list of lengths nor a compressed string.
    """
    counts = outline.get("counts")
    lengths: list[int] = []
    if isinstance(counts, list):
        lengths = counts
    elif isinstance(counts, str):
        value = bits = 0
        for letter in counts:
            code = ord(letter) - 48
            if not 0 <= code < 64 or bits > 60:
                raise ImageError(f"{where}: counts: found the character {letter!a}; run lengths of COCO are needed")
            value |= (code & 31) << bits
            bits += 5
            if not code & 32:
                value -= (1 << bits) if code & 16 else 0
                lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
                value = bits = 0
        if bits:
            lengths.append(-1)
    if not lengths or any(type(one) is not int or one < 0 for one in lengths):
        raise ImageError(f"{where}: counts: found no run lengths; a list of numbers or a string of COCO is needed")
    return lengths


def shown(value: Any) -> str:
    """A value for a message: on one line, with at most 60 characters."""
    text = " ".join(str(value.tolist() if isinstance(value, np.ndarray) else repr(value)).split())
    return text if len(text) <= 60 else f"{text[:60]}..."
