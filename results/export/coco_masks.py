"""COCO instances: one JSON file, one annotation for each 4-connected component, as run lengths."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.results.export.components import I32, runs_of
from usseg.results.export.format import Format, Masks, Split


def encode(masks: Masks, split: Split) -> list[dict[str, Any]]:
    """The annotations of one image, without their ids. The id of the image is its place in the split plus 1."""
    from pycocotools import mask as run_lengths

    (height, width), (numbers, components) = masks.size, masks.components
    counts = [{"size": [height, width], "counts": runs.tolist()} for runs in column_runs(numbers)]
    coded = run_lengths.frPyObjects(counts, height, width) if counts else []
    return [
        {
            "image_id": masks.number + 1,
            "category_id": component.category,
            "segmentation": {"size": [height, width], "counts": one["counts"].decode()},
            "area": component.area,
            "bbox": list(component.box),
            "iscrowd": 0,
        }
        for component, one in zip(components, coded, strict=True)
    ]


def column_runs(numbers: I32) -> list[npt.NDArray[np.int64]]:
    """The run lengths of each component, int64 (run,): of 0 and 1 in turn, 0 first, column by column of the image.

    Args:
        numbers: the number of the component of each pixel, int32 (height, width); 0 is none.
    """
    columns = np.ascontiguousarray(numbers.T)
    starts, ends = runs_of(columns)
    owners = columns.reshape(-1)[starts]
    order = np.argsort(owners, kind="stable")
    order = order[np.searchsorted(owners[order], 1) :]
    starts, ends, owners = starts[order], ends[order], owners[order]
    if not len(order):
        return []
    # A run goes on from the bottom of a column to the top of the next one.
    apart = (starts[1:] != ends[:-1]) | (owners[1:] != owners[:-1])
    first, last = np.r_[True, apart], np.r_[apart, True]
    bounds = np.column_stack([starts[first], ends[last]])
    found = []
    for runs in np.split(bounds, np.flatnonzero(np.diff(owners[first])) + 1):
        counts = np.diff(np.concatenate([[0], runs.reshape(-1), [numbers.size]]))
        found.append(counts if counts[-1] else counts[:-1])
    return found


def collect(path: Path, parts: Iterator[list[dict[str, Any]]], split: Split) -> None:
    """Write the JSON file. Annotations are written image by image."""
    images = [
        {"id": number, "file_name": name, "width": width, "height": height}
        for number, (name, (height, width)) in enumerate(zip(split.paths, split.sizes, strict=True), start=1)
    ]
    categories = [
        {"id": number, "name": name, "supercategory": ""} for number, name in enumerate(split.classes) if number
    ]
    with path.open("w", encoding="utf-8") as stream:
        stream.write('{"info": {"description": "usseg"}, "licenses": [],\n"images": ')
        stream.write(f'{json.dumps(images)},\n"categories": {json.dumps(categories)},\n"annotations": [')
        written = 0
        for annotations in parts:
            for annotation in annotations:
                written += 1
                stream.write(("\n" if written == 1 else ",\n") + json.dumps({"id": written, **annotation}))
        stream.write("\n]}\n")


FORMAT = Format(
    summary="COCO instances: one JSON file, one annotation (run lengths) for each connected component.",
    file="instances.json",
    encode=encode,
    collect=collect,
)
