"""COCO instances: one JSON file, one annotation for each 4-connected component, as run lengths."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.results.export.format import I32, Component, Format, Masks, Split


def encode(masks: Masks, split: Split) -> list[dict[str, Any]]:
    """The annotations of one image, without their ids. The id of the image is its place in the split plus 1."""
    from pycocotools import mask as run_lengths

    (height, width), (numbers, components) = masks.size, masks.components
    counts = [
        {"size": [height, width], "counts": column_runs(numbers, number, component).tolist()}
        for number, component in enumerate(components, start=1)
    ]
    annotations = []
    for component, coded in zip(
        components, run_lengths.frPyObjects(counts, height, width) if counts else [], strict=True
    ):
        annotations.append(
            {
                "image_id": masks.number + 1,
                "category_id": component.category,
                "segmentation": {"size": [height, width], "counts": coded["counts"].decode()},
                "area": component.area,
                "bbox": list(component.box),
                "iscrowd": 0,
            }
        )
    return annotations


def column_runs(numbers: I32, number: int, component: Component) -> npt.NDArray[np.int64]:
    """The run lengths of a component, int64 (run,): of 0 and 1 in turn, 0 first, column by column of the image.

    Only the box of the component is read: the time does not depend on the size of the image.
    """
    height, width = numbers.shape
    left, top, box_width, box_height = component.box
    inside = np.zeros((box_width, box_height + 2), np.int8)  # with an empty pixel above and below
    inside[:, 1:-1] = (numbers[top : top + box_height, left : left + box_width] == number).T
    change = np.diff(inside, axis=1)
    (columns, starts), (_, ends) = np.nonzero(change == 1), np.nonzero(change == -1)
    first = (left + columns) * height + top
    starts, ends = first + starts, first + ends
    apart = starts[1:] != ends[:-1]  # a run goes on from the bottom of a column to the top of the next one
    starts, ends = starts[np.r_[True, apart]], ends[np.r_[apart, True]]
    counts = np.diff(np.r_[0, np.column_stack([starts, ends]).reshape(-1), height * width])
    return counts if counts[-1] else counts[:-1]


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
