"""Examples of a cluster: crops of its segments, the most typical first, then the most doubtful."""

from typing import Any

import numpy as np

from usseg.pipeline.inputs import Inputs
from usseg.stages.report.open_arrays import OpenArrays
from usseg.stages.report.page_script import call
from usseg.stages.report.pictures import data_uri
from usseg.stages.report.segment_crop import outlined_crop
from usseg.stages.report.token_mask import pixel_mask

SIDE = 192  # of a crop, pixels


def labels_with_segments(inputs: Inputs) -> list[int]:
    """The labels of the clusters that have segments on the fit split, sorted. Empty where tokens are clustered."""
    if "crops" not in inputs.artifacts or "assign" not in inputs.artifacts:
        return []
    labels = inputs["assign"][inputs["cluster"].attrs["split"]]["segment_labels"][:]
    return sorted(int(label) for label in np.unique(labels) if label > 0)


def example_files(inputs: Inputs, label: int, *, most: int) -> dict[str, bytes]:
    """The script with the examples of one cluster, from the split that the clustering was fitted on.

    Args:
        inputs: the inputs of the stage.
        label: the label of the cluster in the maps.
        most: largest number of typical examples, and of doubtful ones.
    """
    split = inputs["cluster"].attrs["split"]
    arrays = OpenArrays(inputs, split)
    where = np.argwhere(arrays("assign", "segment_labels")[:] == label)
    margins = arrays("assign", "segment_margin")[:][where[:, 0], where[:, 1]].astype(np.float64)
    order = np.argsort(-margins, kind="stable")
    typical = order[:most].tolist()
    doubtful = order[len(typical) :][::-1][:most].tolist()
    shown = {
        name: [example(arrays, *where[pick].tolist(), margin=float(margins[pick])) for pick in picks]
        for name, picks in (("typical", typical), ("doubtful", doubtful))
    }
    return {f"examples/{label}.js": call("addExamples", label, {"count": len(where), "split": split, **shown})}


def example(arrays: OpenArrays, i: int, s: int, *, margin: float) -> dict[str, Any]:
    """One segment: the place of its image in the split, its margin and its crop as a data URI."""
    h, w = arrays("segments", "grid")[i].tolist()
    mask = arrays("segments", "segments")[i, : h * w].reshape(h, w) == s + 1
    photo = arrays.inputs.image(i, arrays.split)
    stride, offset = (arrays("features", name)[i].tolist() for name in ("stride", "offset"))
    pixels = pixel_mask(mask, photo.shape[:2], stride, offset)
    left, top, right, bottom = arrays("crops", "boxes")[i, s].tolist()
    crop = outlined_crop(photo, pixels, (left, top, right, bottom), side=SIDE)
    return {"i": i, "margin": round(margin, 4), "picture": data_uri(crop)}
