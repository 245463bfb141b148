"""Cluster the segments of the fit split, or its tokens."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.artifact import ArraySpec, Artifact
from usseg.pipeline.errors import ParamsError
from usseg.pipeline.execution import Execution
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.methods import Methods
from usseg.pipeline.parallel import thread_map
from usseg.pipeline.params import MethodParams, Seed, refused
from usseg.pipeline.stage import Input, Stage

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
log = logging.getLogger("usseg")
IMAGES = 256  # read at a time
MOST_TOKENS = 1_000_000  # that are clustered unless the params say more
LARGEST = 32766  # cluster whose label an int16 map can hold


class ClusterParams(MethodParams):
    """How segments, or tokens, fall into clusters."""

    method: str = Field("kmeans", description="a method of stages/cluster/methods")
    rows: Literal["segments", "tokens"] = Field(
        "segments",
        description="what is clustered: the segments of images, or their patches, without segments and without a background",
    )
    k: int = Field(20, ge=1, le=LARGEST, description="clusters; background is not one of them")
    max_rows: int = Field(
        MOST_TOKENS,
        ge=1,
        le=1_000_000_000,
        description="tokens: where there are more, a sample of so many is clustered",
    )
    norm_std: bool = Field(False, description="standardise every dimension")
    channel_weights: list[Annotated[float, Field(ge=0, le=1e6)]] = Field(
        [], description="multiply the channels of a segment, once standardised; []: all alike"
    )
    pca: int = Field(
        0, ge=0, le=100_000, description="centre, and project on this many principal directions; 0: neither"
    )
    whiten: bool = Field(False, description="unit variance after the projection")
    seed: Seed = 0


def methods() -> Methods[Any]:
    """The table of methods."""
    from usseg.stages.cluster.methods import METHODS

    return METHODS


def reads(sections: Mapping[str, Any]) -> tuple[str, ...]:
    """What is clustered."""
    return ("features",) if sections["cluster"].rows == "tokens" else ("crops",)


def check(sections: Mapping[str, Any]) -> None:
    """Refuse a whitening of no projection, a sample of segments, and one that is smaller than the clusters are many."""
    params = sections["cluster"]
    if params.whiten and not params.pca:
        raise refused(
            "cluster.whiten", True, "it is of the projection, and cluster.pca: 0 has none; set false, or a pca"
        )
    if params.rows == "segments" and params.max_rows != MOST_TOKENS:
        raise refused(
            "cluster.max_rows", params.max_rows, "rows: segments does not read it; remove it, or set rows: tokens"
        )
    if params.max_rows < params.k:
        raise refused("cluster.max_rows", params.max_rows, f"cluster.k: {params.k} clusters need as many rows at least")


@dataclass(frozen=True)
class Clustered:
    """What is clustered: N rows of C channels in the features of an artifact."""

    kind: str  # of one row, for messages
    pieces: Callable[[], Iterator[F32]]  # the rows in order, (n, C) a piece; they can be gone through again
    areas: F64  # (N,), see method.py
    channels: int
    folder: Path  # where a scaled copy may lie meanwhile


def segments_of(inputs: Inputs) -> Clustered:
    """The segments of the fit split.

    Raises:
        ParamsError: there is none.
    """
    crops = inputs["crops"]
    counts = crops["num_segments"][:]
    if not counts.any():
        raise ParamsError(f"cluster: split {inputs.split!r} has no foreground segment; set segments.background: none")

    def rows_of(array: str) -> Iterator[npt.NDArray[Any]]:
        values = crops[array]
        for start in range(0, len(counts), IMAGES):
            block = values[start : start + IMAGES]
            yield block[np.arange(block.shape[1]) < counts[start : start + IMAGES, None]]

    areas = np.concatenate(list(rows_of("area"))).astype(np.float64)
    return Clustered("segment", lambda: rows_of("features"), areas, crops["features"].shape[2], crops.path.parent)


def tokens_of(params: ClusterParams, inputs: Inputs) -> Clustered:
    """The tokens of the fit split, or a sample of them, with a line that says how many are left out.

    Raises:
        ParamsError: there are fewer tokens than clusters.
    """
    from usseg.stages.cluster.token_sample import shares, token_rows

    features, ids = inputs["features"], inputs["index"]["id"]
    counts = features["grid"][:].prod(axis=1, dtype=np.int64)
    total, taken = int(counts.sum()), shares(counts, params.max_rows, seed=params.seed)
    if total < params.k:
        raise refused("cluster.k", params.k, f"split {inputs.split!r} has {total} tokens; at most that is allowed")
    if total > params.max_rows:
        log.warning(
            "cluster@%s: %d of %d tokens are clustered, a sample; cluster.max_rows leaves out %d",
            *(inputs.split, params.max_rows, total, total - params.max_rows),
        )
    patches = features["patches"]
    return Clustered(
        "token",
        lambda: token_rows(patches, counts, taken, ids, seed=params.seed),
        np.ones(int(taken.sum())),
        patches.shape[2],
        features.path.parent,
    )


def run(params: ClusterParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """Fit the clustering."""
    from usseg.stages.cluster.rows import on_disk
    from usseg.stages.cluster.scaling import fit_scaling

    method, options = methods()[params.method], params.options
    found = tokens_of(params, inputs) if params.rows == "tokens" else segments_of(inputs)
    classes = len(inputs.index_params["classes"])
    if params.k + (params.rows == "segments") < classes:  # the background may be a label of its own
        log.warning("cluster@%s: found cluster.k: %d for %d classes of index.classes", inputs.split, params.k, classes)
    check_channels(params, found)
    scaling = fit_scaling(
        found.pieces(),
        found.channels,
        norm_std=params.norm_std,
        pca=params.pca,
        whiten=params.whiten,
        channel_weights=params.channel_weights,
    )
    with thread_map(execution.workers) as ordered:
        rows = on_disk((scaling(piece) for piece in found.pieces()), scaling.channels, found.folder, ordered)
        settings = {"k": params.k, "seed": params.seed, "options": options}
        run_by = {"device": execution.device, "checkpoint": execution.checkpoint, "progress": execution.progress}
        clustering = method.call(rows, found.areas, **settings, **run_by)
    if len(clustering.centers) < params.k:
        log.warning(
            "cluster@%s: found cluster.k: %d, but there are only %d different %ss; so many clusters are made",
            *(inputs.split, params.k, len(clustering.centers), found.kind),
        )
    counts = np.zeros(len(clustering.centers), np.int64)
    for block in rows:
        counts += np.bincount(method.predict(clustering, block, options), minlength=len(counts))
    return {
        "centers": clustering.centers,
        "mean": scaling.mean,
        "scale": scaling.scale,
        "components": scaling.components,
        "counts": counts,
        "history": clustering.history,
        "weights": clustering.weights,
    }


def check_channels(params: ClusterParams, found: Clustered) -> None:
    """Refuse weights for another number of channels, and more principal directions than there are channels."""
    has = f"the features of a {found.kind} have {found.channels} channels"
    if len(params.channel_weights) not in (0, found.channels):
        raise ParamsError(
            f"params.yaml: cluster.channel_weights: found {len(params.channel_weights)} numbers; {has}; give one each, or []"
        )
    if params.pca > found.channels:
        raise refused("cluster.pca", params.pca, f"{has}; at most that is allowed")


def fitted(artifact: Artifact) -> tuple[Any, Any, Any, Any]:
    """The method, its options, the clustering and the scaling of an artifact."""
    from usseg.stages.cluster.method import Clustering
    from usseg.stages.cluster.scaling import Scaling

    params = artifact.params
    method = methods()[params["method"]]
    scaling = Scaling(artifact["mean"][:], artifact["scale"][:], artifact["components"][:])
    clustering = Clustering(artifact["centers"][:], artifact["history"][:], artifact["weights"][:])
    return method, method.options.model_validate(params["options"]), clustering, scaling


def predict(artifact: Artifact, features: F32) -> I64:
    """Cluster ids from 0 of the features of segments or tokens, float32 (row, channel)."""
    method, options, clustering, scaling = fitted(artifact)
    labels: I64 = method.predict(clustering, scaling(features), options)
    return labels


def scorer(artifact: Artifact) -> Callable[[F32], tuple[I64, npt.NDArray[np.float16]]]:
    """A function for the tokens of any number of images; it reads the artifact once.

    It takes features, float32 (N, C), and gives cluster ids from 0, int64 (N,), and scores, float16 (N, K): how well each cluster
    fits, less how well the token's own one does. That one has 0, the others have 0 or less, -65504 at least.
    """
    method, options, clustering, scaling = fitted(artifact)

    def score(features_NC: F32) -> tuple[I64, npt.NDArray[np.float16]]:
        rows = scaling(features_NC)
        labels, fits = method.predict(clustering, rows, options), method.scores(clustering, rows, options)
        below = fits - np.take_along_axis(fits, labels[:, None], axis=1)
        return labels, np.clip(below, np.finfo(np.float16).min, 0).astype(np.float16)

    return score


STAGE = Stage(
    name="cluster",
    summary="Cluster the segments of the fit split, or its tokens: k-means, optimal transport or attention-based.",
    version=2,
    params=ClusterParams,
    inputs=(Input("index"), Input("features", when="asked"), Input("crops", when="asked")),
    arrays={
        "centers": ArraySpec(("cluster", "channel"), "float32", "cluster centres, in scaled features"),
        "mean": ArraySpec(("channel",), "float32", "subtracted from unit-length features"),
        "scale": ArraySpec(("channel",), "float32", "multiplies them"),
        "components": ArraySpec(("component", "channel"), "float32", "principal directions; no rows: no projection"),
        "counts": ArraySpec(
            ("cluster",),
            "int64",
            "segments of the fit split in each cluster, or tokens; of a sample where there is one",
        ),
        "history": ArraySpec(("iteration",), "float64", "objective of every iteration or epoch"),
        "weights": ArraySpec(("weight",), "float32", "the network of method abc, flat; empty otherwise"),
    },
    run=run,
    scope="fit",
    methods=methods,
    reads=reads,
    offers={"predict": predict, "scorer": scorer},
    check=check,
    moved={"fit_split": "index.fit_split", "area_weight": "options.area_weight"},
)
