"""Score the maps of a split."""

import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field

from usseg.pipeline.artifact import ArraySpec, Artifact
from usseg.pipeline.errors import ParamsError
from usseg.pipeline.execution import Execution
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.labels import LabelTally, LabelValues
from usseg.pipeline.params import Params, refused
from usseg.pipeline.stage import Input, Stage

log = logging.getLogger("usseg")


class EvaluateParams(Params):
    """What the maps are held against, and by which convention."""

    method: Literal["classes", "objects", "partitions"] = Field("classes", description="see stages/evaluate/methods")
    matching: Literal["count", "iou"] = Field("count", description="classes: what the one-to-one matching maximises")
    absent: Literal["drop", "zero"] = Field(
        "drop", description="classes: one with no truth and no prediction is dropped, or has IoU 0"
    )
    surplus: Literal["strict", "many_to_one", "majority", "dropped"] = Field(
        "strict",
        description="classes: clusters beyond the classes count as errors, join a class, share classes with all others, or are left out "
        "with their pixels (STEGO)",
    )
    background: Literal["cluster", "ignored"] = Field(
        "cluster", description="classes: label 0 is one more cluster, or its pixels are not scored (PriMaPs)"
    )
    protocol: Literal["native", "crop320"] = Field(
        "native",
        description="classes, objects: maps at full size, or 320 x 320 from the middle of a shorter side of 320 (classes: STEGO, PriMaPs) "
        "or 335 (objects: Sempart)",
    )
    pick: Literal["box", "area", "area8"] = Field(
        "box",
        description="objects: the piece held against boxes has the largest box, or most pixels; area8: of 8-connected pieces, the whole "
        "image where there is none, as DSM",
    )


def needs_clusters(params: EvaluateParams) -> bool:
    """Whether the scores are about clusters."""
    return params.method == "classes"


def check(sections: Mapping[str, Any]) -> None:
    """Refuse a method that the maps do not fit, and labels of classes that have no name."""
    method, index = sections["evaluate"].method, sections["index"]
    labelled = [split for split, source in index.splits.items() if source.labels]
    if method == "classes" and labelled and not index.classes:
        raise refused(
            "index.classes",
            [],
            f"split {labelled[0]!r} has labels; name the classes, or set index.splits.{labelled[0]}.labels to null",
        )
    if method == "classes" and sections["refine"].source == "segments":
        raise refused(
            "evaluate.method",
            method,
            "refine.source: segments gives maps without clusters; objects or partitions is allowed, or refine.source: assign",
        )
    params, none = sections["evaluate"], sections["segments"].background == "none"
    if method == "classes" and params.background == "ignored" and (none or sections["assign"].background_collision):
        other = "segments.background: none" if none else "assign.background_collision: true"
        raise refused("evaluate.background", "ignored", f"{other} leaves no label of its own for it; set cluster")
    if method == "partitions" and params.protocol != "native":
        raise refused("evaluate.protocol", params.protocol, "partitions are compared at full size; set native")
    if method == "objects" and none:
        raise refused("evaluate.method", method, "segments.background: none leaves no background; set it to border")


def scored_images(params: EvaluateParams, inputs: Inputs, execution: Execution, tally: LabelTally) -> Iterator[Any]:
    """The maps of the split with their truth, image by image, those without one left out; the tally counts label images.

    Raises:
        ParamsError: a truth that the method cannot use.
    """
    from usseg.stages.evaluate.methods import METHODS
    from usseg.stages.evaluate.scored import ScoredImage

    allowed = METHODS[params.method].TRUTH
    refine = inputs["refine"]
    maps, foreground = refine["maps"], refine["foreground"]
    kind = ""
    for i in range(len(maps)):
        truth = inputs.truth(i)
        if truth is not None:
            if truth.kind not in allowed:
                raise ParamsError(
                    f"params.yaml: evaluate.method: found {params.method!r}, which needs {' or '.join(allowed)}; "
                    f"{inputs.file(i, 'label_path', None)} holds {truth.kind}"
                )
            if kind not in ("", truth.kind):
                raise ParamsError(
                    f"params.yaml: index.splits.{inputs.split}.labels: {inputs.file(i, 'label_path', None)} holds {truth.kind}, "
                    f"files before it {kind}; one kind a split is allowed"
                )
            kind = truth.kind
            if truth.boxes is not None and params.protocol == "crop320":
                raise ParamsError(
                    "params.yaml: evaluate.protocol: found 'crop320'; native is allowed where the truth is boxes"
                )
            tally.add(truth.counts)
            yield ScoredImage(
                map=maps[i],
                foreground=foreground[i] if len(foreground) else None,
                labels=truth.labels,
                partitions=truth.partitions,
                boxes=truth.boxes,
            )
        execution.progress(i + 1, len(maps))


def label_rows(clusters: int, background: str, *, collision: bool) -> tuple[int, int]:
    """Rows of the confusion matrix for so many clusters, and the label of the first.

    Without a background label 0 never occurs or is not scored, and clusters are the rows; with DSM's collision it is that of the first cluster.
    """
    first = 1 if background == "none" and not collision else 0
    return (clusters if first or collision else clusters + 1), first


def few_clusters(rows: int, classes: int) -> str | None:
    """What to say where there are fewer labels than classes: some classes cannot be found, whatever the maps; None elsewhere."""
    if rows >= classes:
        return None
    return (
        f"cluster.k: {rows} labels for {classes} classes: {classes - rows} of them cannot be found; "
        f"add {classes - rows} to cluster.k"
    )


def warn_of_few_clusters(sections: Mapping[str, Any]) -> None:
    """Log a line where the params ask for fewer labels than there are classes to score."""
    clusters, collision = sections["cluster"].k, sections["assign"].background_collision
    ignored = sections["evaluate"].background == "ignored"
    rows, _ = label_rows(clusters, "none" if ignored else sections["segments"].background, collision=collision)
    if sections["evaluate"].method == "classes" and (line := few_clusters(rows, len(sections["index"].classes))):
        log.warning("params.yaml: %s", line)


def map_labels(params: EvaluateParams, inputs: Inputs) -> Any:
    """What the labels of the maps stand for."""
    from usseg.stages.evaluate.scored import MapLabels

    if not needs_clusters(params):
        return MapLabels([], 0, 0)
    rows, first = label_rows(
        inputs["cluster"]["centers"].shape[0],
        "none" if params.background == "ignored" else inputs["segments"].params["background"],
        collision=bool(inputs["assign"].params["background_collision"]),
    )
    return MapLabels(list(inputs.index_params["classes"]), rows, first)


def run(params: EvaluateParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """Metrics, plots, and what the report shows."""
    from usseg.stages.evaluate.methods import METHODS
    from usseg.stages.evaluate.plots import scores_csv

    split, labelled = inputs.split, any(inputs["index"]["label_path"])
    tally = LabelTally(LabelValues.of(inputs.index_params))
    scored, labels = scored_images(params, inputs, execution, tally), map_labels(params, inputs)
    if labelled and (line := few_clusters(labels.clusters, len(labels.classes))):
        log.warning("evaluate@%s: %s", split, line)
    result = METHODS[params.method].score(scored, params, labels)
    metrics = {"labelled": labelled, "num_images": len(images), **(result.metrics if labelled else {})}
    if not labelled:
        log.info("evaluate@%s: no labels, nothing to score", split)
    for line in tally.lines(split):
        log.warning("evaluate@%s: %s", split, line)
    undefined = [name for name, value in metrics.items() if value is None]
    if undefined:
        log.warning("evaluate@%s: nothing to score for %s: null in metrics/%s.json", split, ", ".join(undefined), split)
    files: dict[str, str | bytes] = {
        f"metrics/{split}.json": json.dumps(metrics, indent=1, allow_nan=False) + "\n",
        f"plots/{split}/scores.csv": scores_csv(result.rows),
        f"plots/{split}/details.png": result.picture,
    }
    main = {name: value for name, value in metrics.items() if isinstance(value, float)}
    return {
        "confusion": result.confusion,
        "matching": result.matching,
        "name": list(main),
        "title": [result.titles.get(name, name) for name in main],
        "score": np.array(list(main.values()), np.float64),
        "files": files,
    }


def scores_of(artifact: Artifact) -> Any:
    """The scores of a stored confusion matrix under its artifact's convention."""
    from usseg.stages.evaluate.scores import scores

    convention = {"absent": artifact.params["absent"], "extra_row": artifact.params["surplus"] == "dropped"}
    return scores(artifact["confusion"][:], artifact["matching"][:], **convention)


STAGE = Stage(
    name="evaluate",
    summary="Hold the maps of a split against what is known of its images.",
    version=3,
    params=EvaluateParams,
    inputs=(
        *(Input("index", labels=True), Input("segments"), Input("assign", needed=needs_clusters), Input("refine")),
        Input("cluster", "fit", needed=needs_clusters),
    ),
    arrays={
        "confusion": ArraySpec(
            ("cluster", "class"), "int64", "of method classes: pixels; row 0 is the background where there is one"
        ),
        "matching": ArraySpec(("cluster",), "int64", "class of each row, -1 none"),
        "name": ArraySpec(("score",), "str", "of each main score"),
        "title": ArraySpec(("score",), "str", "what a page calls it"),
        "score": ArraySpec(("score",), "float64", "its value; one that is undefined is left out"),
    },
    run=run,
    check=check,
    functions={"scores_of": scores_of},
)
