"""COCO instances: one JSON file, one annotation for each 4-connected component, as run lengths."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from usseg.results.export.format import Format, Masks, Split


def encode(masks: Masks, split: Split) -> list[dict[str, Any]]:
    """The annotations of one image, without their ids. The id of the image is its place in the split plus 1."""
    from pycocotools import mask as run_lengths

    numbers, components = masks.components
    annotations = []
    for number, component in enumerate(components, start=1):
        coded = run_lengths.encode(np.asfortranarray(numbers == number, dtype=np.uint8))
        annotations.append(
            {
                "image_id": masks.number + 1,
                "category_id": component.category,
                "segmentation": {"size": list(coded["size"]), "counts": coded["counts"].decode()},
                "area": component.area,
                "bbox": list(component.box),
                "iscrowd": 0,
            }
        )
    return annotations


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
