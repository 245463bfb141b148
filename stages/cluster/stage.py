"""Cluster the segments of the fit split."""

import logging
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

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
log = logging.getLogger("usseg")
IMAGES = 256  # read at a time
LARGEST = 32766  # cluster whose label an int16 map can hold


class ClusterParams(MethodParams):
    """How segments fall into clusters."""

    method: str = Field("kmeans", description="a method of stages/cluster/methods")
    k: int = Field(20, ge=1, le=LARGEST, description="clusters; background is not one of them")
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


def check(sections: Mapping[str, Any]) -> None:
    """Refuse a whitening of no projection."""
    params = sections["cluster"]
    if params.whiten and not params.pca:
        raise refused(
            "cluster.whiten", True, "it is of the projection, and cluster.pca: 0 has none; set false, or a pca"
        )


def segment_rows(artifact: Artifact, array: str) -> Iterator[npt.NDArray[Any]]:
    """The valid rows of a (image, segment, ...) array in order, some images at a time."""
    counts, values = artifact["num_segments"][:], artifact[array]
    for start in range(0, len(counts), IMAGES):
        block = values[start : start + IMAGES]
        yield block[np.arange(block.shape[1]) < counts[start : start + IMAGES, None]]


def run(params: ClusterParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """Fit the clustering."""
    from usseg.stages.cluster.model import fit_scaling
    from usseg.stages.cluster.rows import on_disk

    method, options = methods()[params.method], params.options
    crops = inputs["crops"]
    if not crops["num_segments"][:].any():
        raise ParamsError(f"cluster: split {inputs.split!r} has no foreground segment; set segments.background: none")
    classes = len(inputs.index_params["classes"])
    if params.k + 1 < classes:  # the background may be a label of its own
        log.warning("cluster@%s: found cluster.k: %d for %d classes of index.classes", inputs.split, params.k, classes)
    channels = crops["features"].shape[2]
    if len(params.channel_weights) not in (0, channels):
        raise ParamsError(
            f"params.yaml: cluster.channel_weights: found {len(params.channel_weights)} numbers; "
            f"the features of a segment have {channels} channels; give one each, or []"
        )
    if params.pca > channels:
        raise refused(
            "cluster.pca", params.pca, f"the features of a segment have {channels} channels; at most that is allowed"
        )
    scaling = fit_scaling(
        segment_rows(crops, "features"),
        channels,
        norm_std=params.norm_std,
        pca=params.pca,
        whiten=params.whiten,
        channel_weights=params.channel_weights,
    )
    areas = np.concatenate(list(segment_rows(crops, "area"))).astype(np.float64)
    with thread_map(execution.workers) as ordered:
        scaled = (scaling(features) for features in segment_rows(crops, "features"))
        rows = on_disk(scaled, scaling.channels, crops.path.parent, ordered)
        settings = {"k": params.k, "seed": params.seed, "options": options}
        run_by = {"device": execution.device, "checkpoint": execution.checkpoint, "progress": execution.progress}
        clustering = method.call(rows, areas, **settings, **run_by)
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


def predict(artifact: Artifact, features: F32) -> npt.NDArray[np.int64]:
    """Cluster ids from 0 of segment features, float32 (row, channel)."""
    from usseg.stages.cluster.model import Clustering, Scaling

    params = artifact.params
    method = methods()[params["method"]]
    options = method.options.model_validate(params["options"])
    scaling = Scaling(artifact["mean"][:], artifact["scale"][:], artifact["components"][:])
    clustering = Clustering(artifact["centers"][:], artifact["history"][:], artifact["weights"][:])
    labels: npt.NDArray[np.int64] = method.predict(clustering, scaling(features), options)
    return labels


STAGE = Stage(
    name="cluster",
    summary="Cluster the segments of the fit split: k-means, optimal transport or attention-based.",
    version=2,
    params=ClusterParams,
    inputs=(Input("index"), Input("crops")),
    arrays={
        "centers": ArraySpec(("cluster", "channel"), "float32", "cluster centres, in scaled features"),
        "mean": ArraySpec(("channel",), "float32", "subtracted from unit-length features"),
        "scale": ArraySpec(("channel",), "float32", "multiplies them"),
        "components": ArraySpec(("component", "channel"), "float32", "principal directions; no rows: no projection"),
        "counts": ArraySpec(("cluster",), "int64", "segments of the fit split in each cluster"),
        "history": ArraySpec(("iteration",), "float64", "objective of every iteration or epoch"),
        "weights": ArraySpec(("weight",), "float32", "the network of method abc, flat; empty otherwise"),
    },
    run=run,
    scope="fit",
    methods=methods,
    offers={"predict": predict},
    check=check,
    moved={"fit_split": "index.fit_split", "area_weight": "options.area_weight"},
)
