"""Tasks of Label Studio: one JSON file, one brush region for each class and image, as predictions.

The run lengths are those of the package `rle-pack` of thi.ng/umbrella, which Label Studio uses, over the RGBA pixels
of a mask: 255 or 0 in all four channels.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np
import numpy.typing as npt

from usseg.results.export.format import U8, Format, Masks, Split

CHANNELS = 4
WORD, SIZES = 8, (3, 4, 8, 16)  # bits of a value, and of the length of a run; usseg writes lengths of 16 bits only
LONGEST = 1 << SIZES[-1]  # values of a run
MOST = 1 << 32  # values of a mask: their number has 32 bits
CONFIG = "config.xml"


def bits(values: npt.NDArray[np.int64], width: int) -> U8:
    """The lowest bits of each value, the highest of them first: uint8 (value, width)."""
    return (values[:, None] >> np.arange(width - 1, -1, -1) & 1).astype(np.uint8)


def brush_rle(mask: npt.NDArray[np.bool_]) -> list[int]:
    """The run lengths of a mask (height, width) as Label Studio stores them: a list of bytes.

    The bits are: 32, the number of values; 5, the bits of a value minus 1; four times 4, the bits of a length minus 1.
    Then for each run: 1 (a repeated value), the place of the length's size in 2 bits, the length minus 1, the value.

    Raises:
        ValueError: the mask has more pixels than the format can count.
    """
    flat = mask.reshape(-1)
    if flat.size * CHANNELS >= MOST:
        raise ValueError(f"found a mask of {flat.size:,} pixels; label-studio allows {MOST // CHANNELS - 1:,}")
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(np.concatenate([starts, [flat.size]])) * CHANNELS
    pieces = -(-lengths // LONGEST)  # a longer run becomes several
    values = np.repeat(np.where(flat[starts], 255, 0), pieces)
    cut = np.full(pieces.sum(), LONGEST)
    cut[np.cumsum(pieces) - 1] = lengths - (pieces - 1) * LONGEST
    run = ((0b111 << SIZES[-1] | (cut - 1)) << WORD) | values
    head = [(flat.size * CHANNELS, 32), (WORD - 1, 5), *((size - 1, 4) for size in SIZES)]
    parts = [bits(np.array([value]), width)[0] for value, width in head]
    return list(np.packbits(np.concatenate([*parts, bits(run, 3 + SIZES[-1] + WORD).reshape(-1)])).tolist())


def encode(masks: Masks, split: Split) -> dict[str, Any]:
    """The task of one image."""
    height, width = masks.size
    regions = []
    for category in (np.flatnonzero(np.bincount(masks.classes.reshape(-1))[1:]) + 1).tolist():
        value = {
            "format": "rle",
            "rle": brush_rle(masks.classes == category),
            "brushlabels": [split.classes[category]],
        }
        regions.append(
            {
                "id": f"{masks.number}-{category}",
                "type": "brushlabels",
                "from_name": "tag",
                "to_name": "image",
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "value": value,
            }
        )
    url = f"/data/local-files/?d={quote(masks.path)}"
    return {"data": {"image": url}, "predictions": [{"model_version": "usseg", "result": regions}]}


def collect(path: Path, parts: Iterator[dict[str, Any]], split: Split) -> None:
    """Write the JSON file, task by task."""
    with path.open("w", encoding="utf-8") as stream:
        stream.write("[")
        for number, task in enumerate(parts):
            stream.write((",\n" if number else "\n") + json.dumps(task, ensure_ascii=False, separators=(",", ":")))
        stream.write("\n]\n")


def lists(split: Split) -> Mapping[str, str]:
    """The labelling interface for the project in Label Studio."""
    lines = ["<View>", '  <Image name="image" value="$image"/>', '  <BrushLabels name="tag" toName="image">']
    for name, color in zip(split.classes[1:], split.colors[1:].tolist(), strict=True):
        lines.append(f'    <Label value={quoteattr(name)} background="#{bytes(color).hex()}"/>')
    return {CONFIG: "\n".join([*lines, "  </BrushLabels>", "</View>", ""])}


FORMAT = Format(
    summary="Tasks of Label Studio with predictions: one brush region for each class and image.",
    file="tasks.json",
    encode=encode,
    collect=collect,
    lists=lists,
)
