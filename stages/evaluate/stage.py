"""Score the maps of a split against ground truth."""

import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.artifact import ArraySpec, Artifact
from usseg.pipeline.errors import ParamsError
from usseg.pipeline.execution import Execution
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.label_tally import LabelTally
from usseg.pipeline.label_values import LabelValues
from usseg.pipeline.methods import Methods
from usseg.pipeline.params import MethodParams
from usseg.pipeline.stage import Input, Stage

F64 = npt.NDArray[np.float64]
log = logging.getLogger("usseg")


class EvaluateParams(MethodParams):
    """The scoring method and its convention."""

    method: str = Field("classes", description="a method of stages/evaluate/methods")


def methods() -> Methods[Any]:
    """The table of scoring methods."""
    from usseg.stages.evaluate.methods import METHODS

    return METHODS


def scored_images(params: EvaluateParams, inputs: Inputs, execution: Execution, tally: LabelTally) -> Iterator[Any]:
    """Yield the maps of the split with their ground truth, image by image. Images without ground truth are left out.

    The pixel counts of label images are added to the tally.

    Raises:
        ParamsError: the method cannot use this kind of ground truth, or the split has several kinds.
    """
    from usseg.stages.evaluate.method import ScoredImage

    allowed = methods()[params.method].truth
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
                    f"params.yaml: index.splits.{inputs.split}.labels: {inputs.file(i, 'label_path', None)} "
                    f"holds {truth.kind}, files before it {kind}; one kind a split is allowed"
                )
            kind = truth.kind
            tally.add(truth.counts)
            yield ScoredImage(
                map=maps[i],
                foreground=foreground[i] if len(foreground) else None,
                labels=truth.labels,
                partitions=truth.partitions,
                boxes=truth.boxes,
            )
        execution.progress(i + 1, len(maps))


def warn_of_few_clusters(sections: Mapping[str, Any]) -> None:
    """Log the warnings of the scoring method about the params of all stages, such as fewer clusters than classes."""
    params = sections["evaluate"]
    for line in methods()[params.method].doubts(params.options, sections):
        log.warning("params.yaml: %s", line)


def reads(sections: Mapping[str, Any]) -> tuple[str, ...]:
    """Stage segments, where the labels are clusters of segments: its params tell whether label 0 is the background."""
    params = sections["evaluate"]
    of_clusters = "cluster" in methods()[params.method].reads(params.options)
    return ("segments",) if of_clusters and sections["cluster"].rows == "segments" else ()


def map_labels(params: EvaluateParams, inputs: Inputs) -> Any:
    """The meaning of the labels in the maps."""
    from usseg.stages.evaluate.method import MapLabels

    if "cluster" not in methods()[params.method].reads(params.options):
        return MapLabels()
    return MapLabels(
        list(inputs.index_params["classes"]),
        int(inputs["cluster"]["centers"].shape[0]),
        background="segments" in inputs.artifacts and inputs["segments"].params["background"] != "none",
        collision=bool(inputs["assign"].params["background_collision"]),
    )


def run(params: EvaluateParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """Compute the metrics, the plots and the arrays for the report.

    `metrics/SPLIT.json` holds the main scores only: DVC shows every value of this file as a column.
    `metrics/details/SPLIT.json` holds everything else that the method returned.
    """
    from usseg.stages.evaluate.method import main_scores
    from usseg.stages.evaluate.plots import scores_csv

    split, labelled = inputs.split, any(inputs["index"]["label_path"])
    tally = LabelTally(LabelValues.of(inputs.index_params))
    scored, method = scored_images(params, inputs, execution, tally), methods()[params.method]
    result = method.call(scored, params.options, map_labels(params, inputs))
    metrics = {"labelled": labelled, "num_images": len(images), **(result.metrics if labelled else {})}
    if not labelled:
        log.info("evaluate@%s: no labels, nothing to score", split)
    for line in [*result.remarks, *tally.lines(split)]:
        log.warning("evaluate@%s: %s", split, line)
    scores = main_scores(metrics)
    undefined = [name for name, value in scores.items() if value is None]
    if undefined:
        log.warning("evaluate@%s: nothing to score for %s: null in metrics/%s.json", split, ", ".join(undefined), split)
    details = {name: value for name, value in metrics.items() if name not in scores}
    files: dict[str, str | bytes] = {
        f"metrics/{split}.json": json.dumps(scores, indent=1, allow_nan=False) + "\n",
        f"metrics/details/{split}.json": json.dumps(details, indent=1, allow_nan=False) + "\n",
        f"plots/{split}/scores.csv": scores_csv(result.rows),
        f"plots/{split}/details.png": result.picture,
    }
    main = {name: value for name, value in scores.items() if value is not None}
    return {
        "confusion": result.confusion,
        "label": result.labels,
        "matching": result.matching,
        "name": list(main),
        "title": [method.titles.get(name, name) for name in main],
        "score": np.array(list(main.values()), np.float64),
        "files": files,
    }


def class_scores(artifact: Artifact) -> tuple[F64, F64]:
    """The IoU and the accuracy of each class of a stored confusion matrix: float64 (class,) each.

    NaN marks a class with nothing to score.
    """
    from usseg.stages.evaluate.confusion_scores import confusion_scores

    scores = confusion_scores(artifact["confusion"][:], artifact["matching"][:])
    return scores.iou, scores.class_accuracy


def of_objects(artifact: Artifact) -> bool:
    """Whether label 0 is the background in the ground truth, and every other label is an object."""
    return bool(methods()[artifact.params["method"]].objects)


STAGE = Stage(
    name="evaluate",
    summary="Score the maps of a split against ground truth.",
    version=3,
    params=EvaluateParams,
    inputs=(
        *(Input("index", labels=True), Input("segments", when="asked"), Input("assign", when="asked"), Input("refine")),
        Input("cluster", "fit", when="asked"),
    ),
    arrays={
        "confusion": ArraySpec(
            ("cluster", "class"),
            "int64",
            "pixels of each scored label and class; no rows without a matching",
        ),
        "label": ArraySpec(("cluster",), "int64", "label in the maps of each row of `confusion`; 0 is the background"),
        "matching": ArraySpec(("cluster",), "int64", "class of each row of `confusion`, -1 for no class"),
        "name": ArraySpec(("score",), "str", "name of each main score"),
        "title": ArraySpec(("score",), "str", "title of each main score in the report"),
        "score": ArraySpec(("score",), "float64", "value of each main score; undefined scores are left out"),
    },
    run=run,
    methods=methods,
    reads=reads,
    offers={"class_scores": class_scores, "of_objects": of_objects},
    moved={key: f"options.{key}" for key in ("matching", "absent", "surplus", "background", "protocol", "pick")},
)
