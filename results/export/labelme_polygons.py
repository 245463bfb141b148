"""A JSON file of labelme for each image: one polygon for each 4-connected component.

A polygon of labelme has no holes. Polygons are therefore in the order of painting: a later one covers an earlier one,
and what lies inside a component comes after it. A hole of background is a polygon with the label `_background_`,
labelme's own name of class 0. Drawn in this order with their border pixels, as `cv2.fillPoly` does, the polygons give
the masks exactly. The points are the centres of border pixels.
"""

import json
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.results.export.components import Component, connected_components
from usseg.results.export.format import Format, Masks, Split

VERSION = "5.0.0"  # of labelme, whose format this is
HOLE = "_background_"
FEWEST = 3  # points of a polygon


def encode(masks: Masks, split: Split) -> bytes:
    """The JSON file of one image."""
    height, width = masks.size
    numbers, components = connected_components(masks.classes, background=True)
    shapes = []
    # A component that lies inside another one has a smaller box in both directions.
    order = sorted(range(len(components)), key=lambda place: -box_area(components[place]))
    for place in order:
        component = components[place]
        if component.category == 0 and touches_border(component, height, width):
            continue
        label = split.classes[component.category] if component.category else HOLE
        shapes.append(
            {
                "label": label,
                "points": outline(numbers, place + 1, component).tolist(),
                "group_id": None,
                "description": "",
                "shape_type": "polygon",
                "flags": {},
            }
        )
    file = split.folder / f"{masks.id}.json"
    content: dict[str, Any] = {
        "version": VERSION,
        "flags": {},
        "imagePath": os.path.relpath(split.root / masks.path, file.parent).replace(os.sep, "/"),
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    lines = ",\n".join(json.dumps(shape, ensure_ascii=False, separators=(",", ":")) for shape in shapes)
    head = json.dumps(content, ensure_ascii=False)
    return f'{head[:-1]}, "shapes": [\n{lines}\n]}}\n'.encode()


def box_area(component: Component) -> int:
    """Width times height of the box of a component."""
    return component.box[2] * component.box[3]


def touches_border(component: Component, height: int, width: int) -> bool:
    """Whether a component touches the border of the image. Such a component lies inside no other one."""
    left, top, box_width, box_height = component.box
    return left == 0 or top == 0 or left + box_width == width or top + box_height == height


def outline(numbers: npt.NDArray[np.int32], number: int, component: Component) -> npt.NDArray[np.int64]:
    """The outer border of a component: x, y of pixel centres, int64 (point, 2), at least three points.

    Where a border has one or two pixels, its last point is repeated.
    """
    import cv2

    left, top, width, height = component.box
    mask = (numbers[top : top + height, left : left + width] == number).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(left, top))
    points = contours[0].reshape(-1, 2).astype(np.int64)
    missing = max(0, FEWEST - len(points))
    return np.concatenate([points, np.repeat(points[-1:], missing, axis=0)])


FORMAT = Format(
    summary="A JSON file of labelme for each image, one polygon for each connected component.",
    file="{id}.json",
    encode=encode,
)
