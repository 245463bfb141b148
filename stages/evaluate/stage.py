"""Score the maps of a split."""

import json
import logging
import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pipeline.artifact import ArraySpec, Artifact
from pipeline.errors import ParamsError
from pipeline.params import Params
from pipeline.stage import Execution, Input, Inputs, Stage

log = logging.getLogger("usseg")


class EvaluateParams(Params):
    """Which convention the main scores follow; the others are reported beside it."""

    matching: Literal["count", "iou"] = Field("count", description="what the one-to-one matching maximises")
    absent: Literal["drop", "zero"] = Field(
        "drop", description="a class with no truth and no prediction: dropped, or IoU 0"
    )
    surplus: Literal["strict", "many_to_one", "majority"] = Field("strict", description="clusters beyond the classes")


CONVENTIONS = {
    "stego": {"matching": "count", "absent": "drop", "surplus": "strict"},
    "primaps": {"matching": "count", "absent": "drop", "surplus": "many_to_one"},
    "dsm": {"matching": "iou", "absent": "zero", "surplus": "strict"},
    "majority": {"matching": "iou", "absent": "zero", "surplus": "majority"},
}


def count_pixels(
    inputs: Inputs, execution: Execution, *, offset: int, clusters: int, classes: int
) -> tuple[npt.NDArray[np.int64], int]:
    """The confusion matrix of the split, and how many images have labels."""
    from stages.evaluate.matching import confusion_matrix

    ignored = set(inputs.index_params["ignore"])
    keep = np.array([value not in ignored for value in range(classes)])
    sizes = inputs["refine"]["size"][:]
    total = np.zeros((clusters, classes), np.int64)
    labelled = 0
    for i in range(len(sizes)):
        labels = inputs.labels(i)
        if labels is not None:
            labelled += 1
            height, width = sizes[i].tolist()
            prediction = inputs["refine"]["maps"][i, :height, :width] - offset
            inside = (labels >= 0) & (labels < classes)
            counted = inside & keep[np.where(inside, labels, 0)]
            total += confusion_matrix(
                prediction, np.where(counted, labels, -1), num_clusters=clusters, num_classes=classes
            )
        execution.progress(i + 1, len(sizes))
    return total, labelled


def run(params: EvaluateParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """Confusion, matching, metrics and plots."""
    from stages.evaluate.matching import match
    from stages.evaluate.plots import confusion_png, per_class_csv
    from stages.evaluate.scores import scores

    names = list(inputs.index_params["classes"])
    has_labels = any(inputs["index"]["label_path"])
    if has_labels and not names:
        raise ParamsError(
            f"params.yaml: index.classes: found [], but split {inputs.split!r} has labels; name the classes, or set "
            f"index.splits.{inputs.split}.labels to null"
        )
    number = inputs["cluster"]["centers"].shape[0]
    collision = bool(inputs["assign"].params["background_collision"])
    # Without a background rule label 0 never occurs, and clusters are the rows.
    offset = 1 if inputs["segments"].params["background"] == "none" and not collision else 0
    clusters = number if offset or collision else number + 1
    confusion, labelled = count_pixels(inputs, execution, offset=offset, clusters=clusters, classes=len(names))
    split = inputs.split
    matching = match(confusion, matching=params.matching, surplus=params.surplus) if labelled else np.full(clusters, -1)
    result = scores(confusion, matching, absent=params.absent)
    metrics: dict[str, Any] = {"labelled": bool(labelled), "num_images": len(images)}
    if labelled:
        metrics |= {
            "miou": result.miou,
            "accuracy": result.accuracy,
            "per_class": by_name(names, result.iou),
            "per_class_accuracy": by_name(names, result.class_accuracy),
            "convention": params.model_dump(),
            "conventions": {name: convention_scores(confusion, **settings) for name, settings in CONVENTIONS.items()},
        }
    else:
        log.info("evaluate@%s: no labels, nothing to score", split)
    rows = [f"{k + offset}: {names[c] if c >= 0 else '-'}" for k, c in enumerate(matching)]
    files: dict[str, str | bytes] = {
        f"metrics/{split}.json": json.dumps(metrics, indent=1) + "\n",
        f"plots/{split}/per_class.csv": per_class_csv(names, result.iou, result.class_accuracy),
        f"plots/{split}/confusion.png": confusion_png(confusion, names, rows),
    }
    return {"confusion": confusion, "matching": matching.astype(np.int64), "files": files}


def convention_scores(
    confusion: npt.NDArray[np.int64], *, matching: str, absent: str, surplus: str
) -> dict[str, float]:
    """mIoU and accuracy under one published convention."""
    from stages.evaluate.matching import match
    from stages.evaluate.scores import scores

    result = scores(confusion, match(confusion, matching=matching, surplus=surplus), absent=absent)
    return {"miou": result.miou, "accuracy": result.accuracy}


def by_name(names: list[str], values: npt.NDArray[np.float64]) -> dict[str, float | None]:
    """Class name -> value, null where there is nothing to score."""
    return {name: None if math.isnan(value) else float(value) for name, value in zip(names, values, strict=True)}


def scores_of(artifact: Artifact) -> Any:
    """The scores of a stored confusion matrix under its artifact's convention."""
    from stages.evaluate.scores import scores

    return scores(artifact["confusion"][:], artifact["matching"][:], absent=artifact.params["absent"])


STAGE = Stage(
    name="evaluate",
    summary="Match clusters to classes and score the maps of a split.",
    version=1,
    params=EvaluateParams,
    inputs=(Input("index", labels=True), Input("segments"), Input("assign"), Input("refine"), Input("cluster", "fit")),
    arrays={
        "confusion": ArraySpec(("cluster", "class"), "int64", "pixels; row 0 is the background where there is one"),
        "matching": ArraySpec(("cluster",), "int64", "class of each row, -1 none"),
    },
    run=run,
    functions={"scores_of": scores_of},
)
