"""Label the segments or the tokens of a split by their clusters."""

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
        False, description="DSM's collision: cluster c has label c, so that cluster 0 and the background share label 0"
    )


def reads(sections: Mapping[str, Any]) -> tuple[str, ...]:
    """The stages with the features that are labelled."""
    return ("features",) if sections["cluster"].rows == "tokens" else ("segments", "crops")


def of_tokens(inputs: Inputs) -> bool:
    """Whether tokens are clustered, not segments."""
    return bool(inputs["cluster"].params["rows"] == "tokens")


def sizes(params: AssignParams, inputs: Inputs) -> Mapping[str, int | npt.NDArray[np.int64]]:
    """The tokens of each image, its segments (at least 1), and the clusters.

    Where tokens are clustered, the number of segments is 0. Where segments are clustered, there are no scores, and the
    number of clusters is 0.
    """
    tokens = of_tokens(inputs)
    grid = inputs["features" if tokens else "segments"]["grid"][:]
    return {
        "token": grid.prod(axis=1, dtype=np.int64),
        "segment": 0 if tokens else np.maximum(1, inputs["crops"]["num_segments"][:].astype(np.int64)),
        "cluster": int(inputs["cluster"]["centers"].shape[0]) if tokens else 0,
        "side": 2,
    }


def run(params: AssignParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """The labels of a block of images."""
    shift = 0 if params.background_collision else 1
    if of_tokens(inputs):
        return token_labels(inputs, images, execution, shift=shift)
    return segment_labels(inputs, images, shift=shift)


def segment_labels(inputs: Inputs, images: range, *, shift: int) -> dict[str, Any]:
    """The arrays of a block of images where segments are clustered. Cluster c has label c + shift."""
    block = slice(images.start, images.stop)
    counts, grid = inputs["crops"]["num_segments"][block], inputs["segments"]["grid"][block]
    features = inputs["crops"]["features"][block, : max(1, counts.max())]
    segments = inputs["segments"]["segments"][block, : grid.prod(axis=1).max()].astype(np.int64)
    used = np.arange(features.shape[1]) < counts[:, None]
    clusters = np.full(used.shape, -1, np.int16)
    if used.any():
        clusters[used] = inputs["cluster"].call("predict", features[used]) + shift
    # Column 0 of the table is the background. The last column is for padding, whose segment is -1.
    table = np.concatenate(
        [np.zeros((len(images), 1), np.int16), clusters, np.full((len(images), 1), -1, np.int16)], axis=1
    )
    labels = np.take_along_axis(table, np.where(segments < 0, table.shape[1] - 1, segments), axis=1)
    scores = np.zeros((*labels.shape, 0), np.float16)
    return {"labels": labels, "scores": scores, "segment_labels": clusters, "grid": grid}


def token_labels(inputs: Inputs, images: range, execution: Execution, *, shift: int) -> dict[str, Any]:
    """The arrays of a block of images where tokens are clustered. Cluster c has label c + shift."""
    grid = inputs["features"]["grid"][images.start : images.stop]
    counts, patches = grid.prod(axis=1), inputs["features"]["patches"]
    score, clusters = inputs["cluster"].call("scorer"), int(inputs["cluster"]["centers"].shape[0])
    labels = np.full((len(images), counts.max()), -1, np.int16)
    scores = np.zeros((*labels.shape, clusters), np.float16)
    for row, (image, count) in enumerate(zip(images, counts.tolist(), strict=True)):
        token_clusters, scores[row, :count] = score(patches[image, :count].astype(np.float32))
        labels[row, :count] = token_clusters + shift
        execution.progress(row + 1, len(images))
    none = np.zeros((len(images), 0), np.int16)
    return {"labels": labels, "scores": scores, "segment_labels": none, "grid": grid}


STAGE = Stage(
    name="assign",
    summary="Label every segment or every token of a split by its cluster.",
    version=1,
    params=AssignParams,
    inputs=(
        *(
            Input("index"),
            Input("features", when="asked"),
            Input("segments", when="asked"),
            Input("crops", when="asked"),
        ),
        Input("cluster", "fit", calls=("predict", "scorer")),
    ),
    arrays={
        "labels": ArraySpec(
            ("image", "token"), "int16", "label of each token: 0 background, clusters from 1, -1 padding", fill=-1
        ),
        "scores": ArraySpec(
            ("image", "token", "cluster"),
            "float16",
            "score of each cluster minus the score of the token's own cluster, which has 0, the others 0 or less; "
            "column c is cluster c, not label c; padded with 0; no columns where segments are clustered",
        ),
        "segment_labels": ArraySpec(
            ("image", "segment"),
            "int16",
            "label of each segment, -1 padding; no columns where tokens are clustered",
            fill=-1,
        ),
        "grid": ArraySpec(("image", "side"), "int32", "rows and columns of tokens"),
    },
    sizes=sizes,
    run=run,
    reads=reads,
)
