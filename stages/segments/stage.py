"""Segment every image of a split."""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.artifact import ArraySpec
from usseg.pipeline.errors import ParamsError
from usseg.pipeline.params import Params, Seed, refused, validate
from usseg.pipeline.seeding import image_seed
from usseg.pipeline.stage import Execution, Input, Inputs, Stage

log = logging.getLogger("usseg")
LARGEST = 32766  # segment that an int16 map can hold


class SegmentsParams(Params):
    """How the tokens of an image fall into segments."""

    method: Literal["spectral", "kmeans", "fiedler", "tokencut", "maskcut", "primaps", "acg"] = Field(
        "spectral", description="see stages/segments/methods"
    )
    num_segments: Annotated[int, Field(ge=1, le=LARGEST)] | Literal["eigengap"] = Field(
        15, description="spectral, kmeans: a number, or from the largest eigenvalue gap"
    )
    background: Literal["border", "none"] = Field(
        "border", description="border: the segment with most border, or what a method of objects leaves"
    )
    min_tokens: int = Field(
        0, ge=0, le=1_000_000, description="merge connected pieces smaller than this into a neighbour; 0: keep all"
    )
    seed: Seed = 0
    options: dict[str, Any] = Field({}, description="options of the method")


def options_of(params: SegmentsParams) -> Any:
    """The options of the method, checked."""
    from usseg.stages.segments.methods import METHODS

    return validate(
        params.options, METHODS[params.method].Options, where=f"params.yaml: segments.options ({params.method})"
    )


def check(sections: Mapping[str, Any]) -> None:
    """Refuse what the eigenvectors cannot give."""
    params, eigen = sections["segments"], sections["eigen"]
    if eigen.affinity in ("affinity", "svd"):
        other = f"eigen.affinity: {eigen.affinity} gives none of a Laplacian; take another affinity"
        if params.method == "fiedler":
            raise refused("segments.method", "fiedler", f"it cuts by the second eigenvector of a Laplacian; {other}")
        if params.num_segments == "eigengap":
            raise refused(
                "segments.num_segments", "eigengap", f"it reads the eigenvalues of a Laplacian; {other}, or a number"
            )
    used = options_of(params).num_eigenvectors if params.method == "spectral" else None
    if used == "segments" and params.num_segments != "eigengap" and params.num_segments > eigen.k:
        raise refused(
            "segments.options.num_eigenvectors",
            used,
            f"segments.num_segments: {params.num_segments} asks for {params.num_segments - 1} eigenvectors, eigen.k: {eigen.k} "
            f"leaves {eigen.k - 1} after the trivial one; set eigen.k to {params.num_segments} or more, or take fewer segments",
        )
    if isinstance(used, int) and used >= eigen.k:
        raise refused(
            "segments.options.num_eigenvectors",
            used,
            f"eigen.k: {eigen.k} leaves {eigen.k - 1} after the trivial one; at most that is allowed, or a larger eigen.k",
        )


def sizes(params: SegmentsParams, inputs: Inputs) -> Mapping[str, int | npt.NDArray[np.int64]]:
    """Tokens of each image.

    Raises:
        ParamsError: no image has enough tokens, or the method's graph of the largest one does not fit into this machine.
    """
    import psutil

    from usseg.stages.segments.methods import METHODS

    tokens = inputs["features"]["grid"][:].prod(axis=1, dtype=np.int64)
    largest = int(tokens.max())
    if params.method in ("spectral", "kmeans") and params.num_segments != "eigengap" and params.num_segments > largest:
        raise refused(
            "segments.num_segments",
            params.num_segments,
            f"the largest image of {inputs.split} has {largest} tokens; at most that is allowed",
        )
    if params.method in ("spectral", "kmeans") and params.num_segments != "eigengap":
        few = int((tokens < params.num_segments).sum())
        if few:
            log.warning(
                "segments@%s: %d of %d images have fewer tokens than segments.num_segments: %d; each of their tokens is a segment at most",
                *(inputs.split, few, len(tokens), params.num_segments),
            )
    needed, present = METHODS[params.method].PAIR_BYTES * largest**2, psutil.virtual_memory().total
    if needed > present:
        raise ParamsError(
            f"segments@{inputs.split}: the largest image has {largest} tokens, whose graph takes {needed / 2**30:.0f} GiB; this machine has "
            f"{present / 2**30:.0f}; set features.resize (pixels of the longer side) or a larger patch"
        )
    return {"token": tokens, "side": 2}


def needs_eigenvectors(params: SegmentsParams) -> bool:
    """Whether the chosen method reads eigenvectors, or the spectrum for the number of segments."""
    from usseg.stages.segments.methods import METHODS

    return METHODS[params.method].EIGENVECTORS or params.num_segments == "eigengap"


def needs_model(params: SegmentsParams) -> bool:
    """Whether the chosen method reads a trained model."""
    from usseg.stages.segments.methods import METHODS

    return METHODS[params.method].MODEL


def segment_ids(labels_hw: npt.NDArray[np.int64], params: SegmentsParams, *, objects: bool) -> npt.NDArray[np.int64]:
    """Method labels -> segment ids: 0 background, foreground from 1, dense. `objects`: label 0 is the background already."""
    from usseg.stages.segments.background import background_first, dense_ids
    from usseg.stages.segments.regions import merge_small

    labels = merge_small(labels_hw, min_tokens=params.min_tokens) if params.min_tokens > 1 else labels_hw
    if params.background == "none":
        return dense_ids(labels, keep_zero=False)
    swapped = labels if objects else background_first(labels)
    return dense_ids(swapped, keep_zero=True)


def no_labels(features_NC: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """What a method gets that reads no model."""
    return np.zeros(0, np.int64)


def run(params: SegmentsParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """Segment ids of a block of images."""
    from usseg.stages.segments.methods import METHODS
    from usseg.stages.segments.tokens import ImageTokens

    method, options = METHODS[params.method], options_of(params)
    block = slice(images.start, images.stop)
    grids = inputs["features"]["grid"][block]
    patches = inputs["features"]["patches"]
    names = ("eigenvalues", "num_eigenvectors", "degenerate")
    eigen = {name: inputs["eigen"][name][block] for name in names} if needs_eigenvectors(params) else {}
    eigenvectors = inputs["eigen"]["eigenvectors"] if eigen else None
    labels_of = partial(inputs["model"].call, "token_labels", device=execution.device) if method.MODEL else no_labels
    ids = inputs["index"]["id"]
    segments = np.full((len(images), grids.prod(axis=1).max()), -1, np.int16)
    counts = np.zeros(len(images), np.int32)
    for row, image in enumerate(images):
        h, w = grids[row].tolist()
        k = int(eigen["num_eigenvectors"][row]) if eigen else 0
        features = patches[image, : h * w].astype(np.float32)
        tokens = ImageTokens(
            grid=(h, w),
            features=features,
            eigenvalues=eigen["eigenvalues"][row, :k] if eigen else np.zeros(0),
            eigenvectors=np.zeros((0, h * w), np.float32) if eigenvectors is None else eigenvectors[image, :k, : h * w],
            degenerate=bool(eigen["degenerate"][row]) if eigen else False,
            num_segments=None if params.num_segments == "eigengap" else int(params.num_segments),
            seed=image_seed(params.seed, ids[image]),
            model_labels=labels_of(features),
        )
        labels = segment_ids(method.segment(tokens, options), params, objects=method.OBJECTS)
        segments[row, : h * w] = labels.reshape(-1)
        counts[row] = labels.max()
        execution.progress(row + 1, len(images))
    return {"segments": segments, "num_segments": counts, "grid": grids}


STAGE = Stage(
    name="segments",
    summary="Cut each image into segments, or the objects out of it.",
    version=2,
    params=SegmentsParams,
    inputs=(
        Input("index"),
        Input("features"),
        Input("eigen", needed=needs_eigenvectors),
        Input("model", "fit", needed=needs_model, calls=("token_labels",)),
    ),
    arrays={
        "segments": ArraySpec(
            ("image", "token"), "int16", "segment id a token: 0 background, foreground from 1, -1 padding", fill=-1
        ),
        "num_segments": ArraySpec(("image",), "int32", "foreground segments"),
        "grid": ArraySpec(("image", "side"), "int32", "rows and columns of tokens"),
    },
    sizes=sizes,
    run=run,
    options=options_of,
    check=check,
    gpu=lambda params, inputs: needs_model(params),
)
