"""Cluster the segments of the fit split, or its tokens."""

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
from usseg.pipeline.training import curve_csv

if TYPE_CHECKING:
    from usseg.stages.cluster.fit_features import FitFeatures

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
F16 = npt.NDArray[np.float16]
I64 = npt.NDArray[np.int64]
log = logging.getLogger("usseg")
MOST_TOKENS = 1_000_000  # default of cluster.max_rows
CURVE = "plots/cluster/loss.csv"
ONE_CLUSTER = 0.95  # a larger share of the votes for one cluster counts as collapse
LARGEST = 32766  # the largest number of clusters whose labels fit an int16 map


class ClusterParams(MethodParams):
    """How segments, or tokens, are clustered."""

    method: str = Field("kmeans", description="a method of stages/cluster/methods")
    rows: Literal["segments", "tokens"] = Field(
        "segments",
        description="what is clustered: segments; or tokens, the patches of all images without a background",
    )
    k: int = Field(20, ge=1, le=LARGEST, description="number of clusters, without the background")
    max_rows: int = Field(
        MOST_TOKENS,
        ge=1,
        le=1_000_000_000,
        description="of rows: tokens, the largest number that is clustered; of more tokens a sample is clustered",
    )
    norm_std: bool = Field(False, description="subtract the mean of every channel and divide by its standard deviation")
    channel_weights: list[Annotated[float, Field(ge=0, le=1e6)]] = Field(
        [], description="factors of the channels, after the standardisation; []: all 1"
    )
    pca: int = Field(
        0,
        ge=0,
        le=100_000,
        description="subtract the mean and project on this many principal directions; 0: neither",
    )
    whiten: bool = Field(False, description="scale the projected channels to unit variance")
    seed: Seed = 0


def methods() -> Methods[Any]:
    """The table of clustering methods."""
    from usseg.stages.cluster.methods import METHODS

    return METHODS


def reads(sections: Mapping[str, Any]) -> tuple[str, ...]:
    """The stage whose features are clustered."""
    return ("features",) if sections["cluster"].rows == "tokens" else ("crops",)


def check(sections: Mapping[str, Any]) -> None:
    """Refuse `whiten` without a projection, `max_rows` for segments, and `max_rows` below k.

    Raises:
        ParamsError: names the key, the value and what is allowed.
    """
    params = sections["cluster"]
    if params.whiten and not params.pca:
        raise refused(
            "cluster.whiten",
            True,
            "cluster.pca: 0 makes no projection to whiten; set false, or a pca above 0",
        )
    if params.rows == "segments" and params.max_rows != MOST_TOKENS:
        raise refused(
            "cluster.max_rows", params.max_rows, "rows: segments does not read it; remove it, or set rows: tokens"
        )
    if params.max_rows < params.k:
        raise refused("cluster.max_rows", params.max_rows, f"cluster.k: {params.k} clusters need as many rows at least")


def scaled_features(params: ClusterParams, inputs: Inputs) -> tuple["FitFeatures", Any]:
    """The features of the fit split that are clustered, and the `Scaling` that turns them into rows.

    Raises:
        ParamsError: there is nothing to cluster, or a param does not fit the number of channels.
    """
    from usseg.stages.cluster.fit_features import segment_features, token_features
    from usseg.stages.cluster.scaling import fit_scaling

    if params.rows == "tokens":
        features = token_features(inputs, k=params.k, max_rows=params.max_rows, seed=params.seed)
    else:
        features = segment_features(inputs)
    check_channels(params, features)
    settings = params.model_dump(include={"norm_std", "pca", "whiten", "channel_weights"})
    return features, fit_scaling(features.pieces(), features.channels, **settings)


def run(params: ClusterParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """Fit the clustering."""
    from usseg.stages.cluster.proposals import image_proposals
    from usseg.stages.cluster.rows import on_disk

    method, options = methods()[params.method], params.options
    features, scaling = scaled_features(params, inputs)
    classes = len(inputs.index_params["classes"])
    if params.k + (params.rows == "segments") < classes:  # with segments the background is one more label
        log.warning("cluster@%s: found cluster.k: %d for %d classes of index.classes", inputs.split, params.k, classes)
    with thread_map(execution.workers) as ordered:
        rows = on_disk((scaling(piece) for piece in features.pieces()), scaling.channels, features.folder, ordered)
        settings = {"k": params.k, "seed": params.seed, "options": options}
        if "segments" in inputs.artifacts:  # the method votes on proposals
            settings["images"] = image_proposals(inputs, scaling)
        environment = {"device": execution.device, "checkpoint": execution.checkpoint, "progress": execution.progress}
        clustering = method.call(rows, features.areas, **settings, **environment)
    if len(clustering.centers) < params.k:
        log.warning(
            "cluster@%s: found cluster.k: %d, but there are only %d different %ss; so many clusters are made",
            *(inputs.split, params.k, len(clustering.centers), features.kind),
        )
    if len(clustering.votes):
        warn_of_collapse(inputs.split, clustering.votes)
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
        "votes": clustering.votes.reshape(-1, len(clustering.centers)),
        "files": {CURVE: curve_csv(clustering.history)} if len(clustering.weights) else {},
    }


def warn_of_collapse(split: str, votes_EK: I64) -> None:
    """Warn if nearly all votes of the last epoch, or none, went to one cluster, and say how many clusters have none."""
    last = votes_EK[-1]
    if not last.any():
        log.warning("cluster@%s: no token is in a proposal, so that nothing was learned from them", split)
    elif len(last) > 1 and last.max() > ONE_CLUSTER * last.sum():
        log.warning(
            "cluster@%s: %.0f %% of the votes of the last epoch are for one cluster. Try another start, a smaller "
            "cluster.options.lr, or more proposals an image",
            *(split, 100 * last.max() / last.sum()),
        )
    elif (last == 0).any():
        log.info("cluster@%s: %d of %d clusters had no vote in the last epoch", split, (last == 0).sum(), len(last))


def check_channels(params: ClusterParams, features: "FitFeatures") -> None:
    """Refuse channel weights of another number than the channels, and more principal directions than channels.

    Raises:
        ParamsError: names the key, the value and the number of channels.
    """
    has = f"the features of a {features.kind} have {features.channels} channels"
    if len(params.channel_weights) not in (0, features.channels):
        raise ParamsError(
            f"params.yaml: cluster.channel_weights: found {len(params.channel_weights)} numbers; {has}; "
            "give one each, or []"
        )
    if params.pca > features.channels:
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
    """The clusters of segments or tokens: int64 (row,), from 0, for features float32 (row, channel)."""
    method, options, clustering, scaling = fitted(artifact)
    labels: I64 = method.predict(clustering, scaling(features), options)
    return labels


def margins(artifact: Artifact, features: F32) -> F16:
    """The margins of segments or tokens, as in margin.py: float16 (row,), for features float32 (row, channel)."""
    from usseg.stages.cluster.margin import margins as of_points

    method, options, clustering, scaling = fitted(artifact)
    return of_points(*method.points(clustering, scaling(features), options))


def scorer(artifact: Artifact) -> Callable[[F32], tuple[I64, F16, F16]]:
    """A function that labels and scores tokens. The artifact is read once.

    The function maps features, float32 (N, C), to clusters, int64 (N,), from 0, to scores, float16 (N, K), and to
    margins, float16 (N,), as in margin.py. A score is the score of a cluster minus the score of the token's own
    cluster: 0 for the own cluster, and between -65504 and 0 for all others.
    """
    from usseg.stages.cluster.margin import margins as of_points

    method, options, clustering, scaling = fitted(artifact)

    def score(features_NC: F32) -> tuple[I64, F16, F16]:
        rows = scaling(features_NC)
        labels, scores = method.predict(clustering, rows, options), method.scores(clustering, rows, options)
        differences = scores - np.take_along_axis(scores, labels[:, None], axis=1)
        relative = np.clip(differences, np.finfo(np.float16).min, 0).astype(np.float16)
        return labels, relative, of_points(*method.points(clustering, rows, options))

    return score


STAGE = Stage(
    name="cluster",
    summary="Cluster the segments of the fit split, or its tokens: k-means, optimal transport, attention-based or EM.",
    version=2,
    params=ClusterParams,
    inputs=(
        *(Input("index"), Input("features", when="asked"), Input("segments", when="asked")),
        Input("crops", when="asked"),
    ),
    arrays={
        "centers": ArraySpec(("cluster", "channel"), "float32", "cluster centres, in the space of the scaled features"),
        "mean": ArraySpec(("channel",), "float32", "subtracted from the unit-length features"),
        "scale": ArraySpec(("channel",), "float32", "factor of each channel, after the subtraction"),
        "components": ArraySpec(
            ("component", "channel"), "float32", "principal directions; no rows without a projection"
        ),
        "counts": ArraySpec(
            ("cluster",),
            "int64",
            "number of segments of the fit split in each cluster, or of clustered tokens",
        ),
        "history": ArraySpec(("iteration",), "float64", "objective after every iteration or epoch"),
        "weights": ArraySpec(
            ("weight",), "float32", "parameters of the network of a trained method; empty for other methods"
        ),
        "votes": ArraySpec(
            ("epoch", "cluster"), "int64", "tokens whose proposal voted for each cluster; no epochs without votes"
        ),
    },
    run=run,
    scope="fit",
    methods=methods,
    reads=reads,
    offers={"predict": predict, "margins": margins, "scorer": scorer},
    check=check,
    moved={"fit_split": "index.fit_split", "area_weight": "options.area_weight"},
)
