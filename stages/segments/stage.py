"""Segment every image of a split."""

import logging
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.artifact import ArraySpec
from usseg.pipeline.execution import Execution
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.memory import refuse_graph
from usseg.pipeline.methods import Methods
from usseg.pipeline.params import MethodParams, Seed, refused
from usseg.pipeline.seeding import image_seed
from usseg.pipeline.stage import Input, Stage

log = logging.getLogger("usseg")


class SegmentsParams(MethodParams):
    """How an image is divided into segments."""

    method: str = Field("spectral", description="a method of stages/segments/methods")
    background: Literal["border", "none"] = Field(
        "border",
        description="border: the segment with most of the image border is background; none: no background",
    )
    min_tokens: int = Field(
        0, ge=0, le=1_000_000, description="merge connected components of fewer tokens into a neighbour; 0: keep all"
    )
    seed: Seed = 0


def methods() -> Methods[Any]:
    """The table of segmentation methods."""
    from usseg.stages.segments.methods import METHODS

    return METHODS


def sizes(params: SegmentsParams, inputs: Inputs) -> Mapping[str, int | npt.NDArray[np.int64]]:
    """The number of tokens of each image.

    Raises:
        ParamsError: no image has enough tokens, or the method's graph of the largest image does not fit into memory.
    """
    tokens = inputs["features"]["grid"][:].prod(axis=1, dtype=np.int64)
    method, largest = methods()[params.method], int(tokens.max())
    wanted = method.fewest_tokens(params.options)
    if wanted > largest:
        raise refused(
            "segments.options.num_segments",
            wanted,
            f"the largest image of {inputs.split} has {largest} tokens; at most that is allowed",
        )
    few = int((tokens < wanted).sum())
    if few:
        log.warning(
            "segments@%s: %d of %d images have fewer tokens than segments.options.num_segments: %d; "
            "each of their tokens is a segment at most",
            *(inputs.split, few, len(tokens), wanted),
        )
    refuse_graph(f"segments@{inputs.split}", largest, pair_bytes=method.pair_bytes)
    return {"token": tokens, "side": 2}


def segment_ids(labels_hw: npt.NDArray[np.int64], params: SegmentsParams, *, objects: bool) -> npt.NDArray[np.int64]:
    """Method labels -> segment ids: 0 background, foreground from 1, dense.

    `objects`: label 0 is the background already.
    """
    from usseg.stages.segments.background import background_first, dense_ids
    from usseg.stages.segments.regions import merge_small

    labels = merge_small(labels_hw, min_tokens=params.min_tokens) if params.min_tokens > 1 else labels_hw
    if params.background == "none":
        return dense_ids(labels, keep_zero=False)
    swapped = labels if objects else background_first(labels)
    return dense_ids(swapped, keep_zero=True)


def run(params: SegmentsParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """The segments of a block of images."""
    from usseg.stages.segments.method import ImageTokens

    method = methods()[params.method]
    block = slice(images.start, images.stop)
    grids = inputs["features"]["grid"][block]
    patches = inputs["features"]["patches"]
    reads = method.reads(params.options)
    names = ("eigenvalues", "num_eigenvectors", "degenerate")
    eigen = {name: inputs["eigen"][name][block] for name in names} if "eigen" in reads else {}
    eigenvectors = inputs["eigen"]["eigenvectors"] if eigen else None
    ids = inputs["index"]["id"]
    segments = np.full((len(images), grids.prod(axis=1).max()), -1, np.int16)
    counts = np.zeros(len(images), np.int32)
    for row, image in enumerate(images):
        h, w = grids[row].tolist()
        k = int(eigen["num_eigenvectors"][row]) if eigen else 0
        features = patches[image, : h * w].astype(np.float32)
        trained = np.zeros(0, np.int64)
        if "segmenter" in reads:
            trained = inputs["segmenter"].call("token_labels", features, device=execution.device)
        tokens = ImageTokens(
            grid=(h, w),
            features=features,
            eigenvalues=eigen["eigenvalues"][row, :k] if eigen else np.zeros(0),
            eigenvectors=np.zeros((0, h * w), np.float32) if eigenvectors is None else eigenvectors[image, :k, : h * w],
            degenerate=bool(eigen["degenerate"][row]) if eigen else False,
            seed=image_seed(params.seed, ids[image]),
            trained_labels=trained,
        )
        labels = segment_ids(method.call(tokens, params.options), params, objects=method.objects)
        segments[row, : h * w] = labels.reshape(-1)
        counts[row] = labels.max()
        execution.progress(row + 1, len(images))
    return {"segments": segments, "num_segments": counts, "grid": grids}


STAGE = Stage(
    name="segments",
    summary="Divide each image into segments, or into objects and background.",
    version=2,
    params=SegmentsParams,
    inputs=(
        Input("index"),
        Input("features"),
        Input("eigen", when="asked"),
        Input("segmenter", "fit", when="asked", calls=("token_labels",)),
    ),
    arrays={
        "segments": ArraySpec(
            ("image", "token"), "int16", "segment of each token: 0 background, foreground from 1, -1 padding", fill=-1
        ),
        "num_segments": ArraySpec(("image",), "int32", "number of foreground segments"),
        "grid": ArraySpec(("image", "side"), "int32", "rows and columns of tokens"),
    },
    sizes=sizes,
    run=run,
    methods=methods,
    moved={"num_segments": "options.num_segments"},
)
