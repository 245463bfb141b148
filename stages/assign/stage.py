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
    clusters, margins = np.full(used.shape, -1, np.int16), np.zeros(used.shape, np.float16)
    if used.any():
        clusters[used] = inputs["cluster"].call("predict", features[used]) + shift
        margins[used] = inputs["cluster"].call("margins", features[used])
    labels = of_segments(clusters, segments, background=0, padding=-1)
    return {
        "labels": labels,
        "scores": np.zeros((*labels.shape, 0), np.float16),
        "margin": of_segments(margins, segments, background=1, padding=0),
        "segment_labels": clusters,
        "segment_margin": margins,
        "grid": grid,
    }


def of_segments(
    values: npt.NDArray[Any], segments: npt.NDArray[np.int64], *, background: int, padding: int
) -> npt.NDArray[Any]:
    """Give each token the value of its segment.

    Args:
        values: (image, segment), the value of segment s in column s - 1.
        segments: (image, token): 0 background, segments from 1, -1 padding.
        background: the value of the tokens of the background.
        padding: the value of padding.

    Returns:
        (image, token), in the dtype of the values.
    """
    # Column 0 of the table is the background. The last column is for padding.
    table = np.pad(values, ((0, 0), (1, 1)), constant_values=((0, 0), (background, padding)))
    return np.take_along_axis(table, np.where(segments < 0, table.shape[1] - 1, segments), axis=1)


def token_labels(inputs: Inputs, images: range, execution: Execution, *, shift: int) -> dict[str, Any]:
    """The arrays of a block of images where tokens are clustered. Cluster c has label c + shift."""
    grid = inputs["features"]["grid"][images.start : images.stop]
    counts, patches = grid.prod(axis=1), inputs["features"]["patches"]
    score, clusters = inputs["cluster"].call("scorer"), int(inputs["cluster"]["centers"].shape[0])
    labels = np.full((len(images), counts.max()), -1, np.int16)
    scores, margins = np.zeros((*labels.shape, clusters), np.float16), np.zeros(labels.shape, np.float16)
    for row, (image, count) in enumerate(zip(images, counts.tolist(), strict=True)):
        features = patches[image, :count].astype(np.float32)
        token_clusters, scores[row, :count], margins[row, :count] = score(features)
        labels[row, :count] = token_clusters + shift
        execution.progress(row + 1, len(images))
    none = np.zeros((len(images), 0))
    return {
        "labels": labels,
        "scores": scores,
        "margin": margins,
        "segment_labels": none.astype(np.int16),
        "segment_margin": none.astype(np.float16),
        "grid": grid,
    }


STAGE = Stage(
    name="assign",
    summary="Label every segment or every token of a split by its cluster.",
    version=2,
    params=AssignParams,
    inputs=(
        *(
            Input("index"),
            Input("features", when="asked"),
            Input("segments", when="asked"),
            Input("crops", when="asked"),
        ),
        Input("cluster", "fit", calls=("predict", "margins", "scorer")),
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
        "margin": ArraySpec(
            ("image", "token"),
            "float16",
            "how clearly the segment of each token, or the token, belongs to its cluster: (d2 - d1) / d2 with the "
            "distances d1, d2 to the two nearest centres, as `segment_margin`; 1 for the background, which no "
            "clustering decides; padded with 0",
        ),
        "segment_labels": ArraySpec(
            ("image", "segment"),
            "int16",
            "label of each segment, -1 padding; no columns where tokens are clustered",
            fill=-1,
        ),
        "segment_margin": ArraySpec(
            ("image", "segment"),
            "float16",
            "margin of each segment in [0, 1]: 0 undecided, 1 on its centre, or with one cluster only; Euclidean "
            "distances of the scaled rows, or of vectors of unit length where the method compares cosines; padded "
            "with 0; no columns where tokens are clustered",
        ),
        "grid": ArraySpec(("image", "side"), "int32", "rows and columns of tokens"),
    },
    sizes=sizes,
    run=run,
    reads=reads,
)
