"""The outline of an object in a COCO file, as polygons or as run lengths, and the mask that it stands for."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.errors import ImageError


def outline_mask(outline: Any, size: tuple[int, int], where: str) -> npt.NDArray[np.bool_]:
    """The pixels (height, width) of an object, as the COCO API draws them.

    Raises:
        ImageError: no outline, fewer than three corners, a corner outside, or run lengths of another size.
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
    """The mask (height, width) of run lengths that fill it."""
    height, width = size
    return (np.repeat(np.arange(len(lengths)) % 2, lengths) == 1).reshape(width, height).T


def run_lengths(outline: Mapping[str, Any], where: str) -> list[int]:
    """The lengths of the runs of a mask by columns, beginning with pixels outside of the object; both spellings of COCO.

    A compressed one has 5 bits a character, the lowest first, and from the fourth run on differences from the run before the last.

    Raises:
        ImageError: no such lengths.
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
    """A value in a message, on one line and not long."""
    text = " ".join(str(value.tolist() if isinstance(value, np.ndarray) else repr(value)).split())
    return text if len(text) <= 60 else f"{text[:60]}..."
