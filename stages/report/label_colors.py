"""The colours of classes, clusters and segments in a project. Each has its own part of the palette."""

import numpy as np
import numpy.typing as npt

from usseg.pipeline.inputs import Inputs
from usseg.stages.report.palette import BACKGROUND, palette

U8 = npt.NDArray[np.uint8]
SEGMENTS = 48  # colours of segments; after them they repeat


def number_of_clusters(inputs: Inputs) -> int:
    """The number of clusters whose labels are in the maps; 0 where the maps hold segments of each image."""
    refine = next(iter(inputs["refine"].values()))
    return 0 if refine.params["source"] == "segments" else int(inputs["cluster"]["centers"].shape[0])


def class_colors(inputs: Inputs) -> U8:
    """The colours of the classes of the ground truth, uint8 (class, 3)."""
    return palette(len(inputs.index_params["classes"]))


def segment_colors(inputs: Inputs) -> U8:
    """The colours of segments 1 to SEGMENTS: none of a class, none of a cluster, uint8 (SEGMENTS, 3)."""
    used = len(inputs.index_params["classes"]) + number_of_clusters(inputs) + 1
    return palette(used + SEGMENTS)[used:]


def matched_classes(inputs: Inputs, split: str) -> dict[int, int]:
    """Label -> class, for the labels that the scores of a split match to a class."""
    evaluate = inputs["evaluate"][split]
    pairs = zip(evaluate["label"][:].tolist(), evaluate["matching"][:].tolist(), strict=True)
    return {label: value for label, value in pairs if value >= 0}


def colors_of_labels(inputs: Inputs, split: str) -> U8:
    """The colours of all labels in the maps of a split: uint8 (label, 3).

    A matched cluster has the colour of its class. Every other cluster has a colour of its own.
    """
    if number_of_clusters(inputs) == 0:
        count = int(inputs["segments"][split]["num_segments"][:].max(initial=0))
        return np.vstack([[BACKGROUND], np.resize(segment_colors(inputs), (count, 3))]).astype(np.uint8)
    classes, labels = len(inputs.index_params["classes"]), number_of_clusters(inputs) + 1
    colors = palette(classes + labels)
    out = colors[classes:]
    out[0] = BACKGROUND
    for label, value in matched_classes(inputs, split).items():
        out[label] = colors[value]
    return out


def css(color: npt.NDArray[np.uint8]) -> str:
    """A colour for a style sheet: #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*color.tolist())
