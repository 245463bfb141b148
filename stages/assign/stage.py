"""Label the segments of a split."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.artifact import ArraySpec
from usseg.pipeline.execution import Execution
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.params import Params
from usseg.pipeline.stage import Input, Stage


class AssignParams(Params):
    """How cluster ids become labels."""

    background_collision: bool = Field(
        False, description="DSM's collision: cluster c is label c, so that cluster 0 and the background are one"
    )


def sizes(params: AssignParams, inputs: Inputs) -> Mapping[str, int | npt.NDArray[np.int64]]:
    """Tokens of each image, and segments, at least 1."""
    return {
        "token": inputs["segments"]["grid"][:].prod(axis=1, dtype=np.int64),
        "segment": np.maximum(1, inputs["crops"]["num_segments"][:].astype(np.int64)),
        "side": 2,
    }


def run(params: AssignParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """Labels of a block of images."""
    block = slice(images.start, images.stop)
    counts, grid = inputs["crops"]["num_segments"][block], inputs["segments"]["grid"][block]
    features = inputs["crops"]["features"][block, : max(1, counts.max())]
    segments = inputs["segments"]["segments"][block, : grid.prod(axis=1).max()].astype(np.int64)
    used = np.arange(features.shape[1]) < counts[:, None]
    clusters = np.full(used.shape, -1, np.int16)
    shift = 0 if params.background_collision else 1
    if used.any():
        clusters[used] = inputs["cluster"].call("predict", features[used]) + shift
    # Column 0 is the background; padding (-1) reads the last column.
    table = np.concatenate(
        [np.zeros((len(images), 1), np.int16), clusters, np.full((len(images), 1), -1, np.int16)], axis=1
    )
    labels = np.take_along_axis(table, np.where(segments < 0, table.shape[1] - 1, segments), axis=1)
    return {"labels": labels, "segment_labels": clusters, "grid": grid}


STAGE = Stage(
    name="assign",
    summary="Give every segment of a split its cluster.",
    version=1,
    params=AssignParams,
    inputs=(Input("index"), Input("segments"), Input("crops"), Input("cluster", "fit", calls=("predict",))),
    arrays={
        "labels": ArraySpec(
            ("image", "token"), "int16", "label a token: 0 background, clusters from 1, -1 padding", fill=-1
        ),
        "segment_labels": ArraySpec(("image", "segment"), "int16", "label a segment, -1 unused", fill=-1),
        "grid": ArraySpec(("image", "side"), "int32", "rows and columns of tokens"),
    },
    sizes=sizes,
    run=run,
)
