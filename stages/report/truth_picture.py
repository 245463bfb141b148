"""The ground truth of an image, as a picture and as a layer of the viewer."""

from typing import Any

import numpy as np

from usseg.pipeline.inputs import Inputs
from usseg.stages.report.label_colors import class_colors, segment_colors
from usseg.stages.report.page_script import packed
from usseg.stages.report.palette import BACKGROUND
from usseg.stages.report.pictures import color_map, data_uri, draw_boxes, fit_within, nearest_within


def truth_layer(inputs: Inputs, i: int, split: str, *, side: int) -> dict[str, Any] | None:
    """The ground truth for the viewer; None without ground truth.

    `kind` is "classes", "objects" (0 is the background), "regions" (of the first annotator) or "boxes". Boxes are
    xmin, ymin, xmax, ymax as shares of the width and height.
    """
    truth = inputs.truth(i, split)
    if truth is None:
        return None
    if truth.boxes is not None:
        height, width = inputs["index"][split]["size"][i].tolist()
        return {"kind": "boxes", "boxes": np.round(truth.boxes / [width, height, width, height], 4).tolist()}
    if truth.labels is not None:
        objects = inputs["evaluate"][split].call("of_objects") or not inputs.index_params["classes"]
        return {"kind": "objects" if objects else "classes", **packed(nearest_within(truth.labels, side))}
    assert truth.partitions is not None
    return {"kind": "regions", **packed(nearest_within(truth.partitions[0], side))}


def truth_picture(inputs: Inputs, i: int, split: str, side: int) -> str | None:
    """The ground truth of an image as a data URI; None without ground truth.

    It shows label maps with ignored values in grey, the regions of the first annotator, or boxes.
    """
    truth = inputs.truth(i, split)
    if truth is None:
        return None
    if truth.boxes is not None:
        return data_uri(fit_within(draw_boxes(inputs.image(i, split), truth.boxes), side))
    whole = truth.labels if truth.labels is not None else truth.partitions[0] if truth.partitions else None
    assert whole is not None
    labels = nearest_within(whole, side)
    colors = class_colors(inputs)
    if truth.labels is None or inputs["evaluate"][split].call("of_objects") or not len(colors):
        objects = np.resize(segment_colors(inputs), (int(labels.max(initial=0)) + 1, 3))
        colors = objects if truth.labels is None else np.vstack([[BACKGROUND], objects]).astype(np.uint8)
    return data_uri(color_map(labels, colors), kind="PNG")
