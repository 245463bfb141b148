"""Semantic maps: all scores are computed from one confusion matrix of the split."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.params import Params, refused
from usseg.stages.evaluate.confusion_scores import ConfusionScores, confusion_scores
from usseg.stages.evaluate.matching import confusion_matrix, drop_surplus, match
from usseg.stages.evaluate.method import EvaluateMethod, MapLabels, ScoredImage, SplitScores, no_background
from usseg.stages.evaluate.plots import confusion_png

CROPPED = 320  # side of the central square of protocol crop320, pixels
CONVENTIONS = {
    "stego": {"matching": "count", "absent": "drop", "surplus": "strict"},
    "primaps": {"matching": "count", "absent": "drop", "surplus": "many_to_one"},
    "dsm": {"matching": "iou", "absent": "zero", "surplus": "strict"},
    "majority": {"matching": "iou", "absent": "zero", "surplus": "majority"},
}


class Options(Params):
    """Options of method `classes`."""

    matching: Literal["count", "iou"] = Field(
        "count", description="what the matching maximises: summed pixel counts or IoU"
    )
    absent: Literal["drop", "zero"] = Field(
        "drop", description="a class without true and predicted pixels is left out, or has IoU 0"
    )
    surplus: Literal["strict", "many_to_one", "majority", "dropped"] = Field(
        "strict",
        description="clusters beyond the number of classes: strict, their pixels are errors; many_to_one, they join "
        "a class; majority, all clusters take their best class; dropped, their pixels are left out (STEGO)",
    )
    background: Literal["cluster", "ignored"] = Field(
        "cluster", description="label 0: cluster, one more cluster; ignored, its pixels are not scored (PriMaPs)"
    )
    protocol: Literal["native", "crop320"] = Field(
        "native",
        description="native: full size; crop320: the central square at a shorter side of 320 (STEGO, PriMaPs)",
    )


def reads_clusters(options: Options) -> tuple[str, ...]:
    """Stages cluster and assign: the labels of the maps are clusters."""
    return ("cluster", "assign")


def check(options: Options, sections: Mapping[str, Any]) -> None:
    """Refuse maps without clusters, labels without class names, and an ignored background without a label of its own.

    Raises:
        ParamsError: names the key, the value and what to do.
    """
    index = sections["index"]
    labelled = [split for split, source in index.splits.items() if source.labels]
    if labelled and not index.classes:
        raise refused(
            "index.classes",
            [],
            f"split {labelled[0]!r} has labels; name the classes, or set index.splits.{labelled[0]}.labels to null",
        )
    if sections["refine"].source == "segments":
        raise refused(
            "evaluate.method",
            "classes",
            "refine.source: segments gives maps without clusters; objects or partitions is allowed, "
            "or refine.source: assign",
        )
    none = no_background(sections)
    if options.background == "ignored" and (none or sections["assign"].background_collision):
        other = none or "assign.background_collision: true"
        raise refused(
            "evaluate.options.background", "ignored", f"{other} leaves no label of its own for it; set cluster"
        )


def doubts(options: Options, sections: Mapping[str, Any]) -> list[str]:
    """A warning where there are fewer clusters than classes."""
    labels = MapLabels(
        sections["index"].classes,
        sections["cluster"].k,
        background=not no_background(sections),
        collision=sections["assign"].background_collision,
    )
    line = few_clusters(labels.scored_labels(background=options.background != "ignored"), labels.classes)
    return [line] if line else []


def few_clusters(scored: Sequence[int], classes: Sequence[str]) -> str:
    """The warning that fewer labels are scored than there are classes; empty where there are enough labels."""
    missing = len(classes) - len(scored)
    if missing <= 0:
        return ""
    return (
        f"cluster.k: {len(scored)} labels for {len(classes)} classes: {missing} of them cannot be found; "
        f"add {missing} to cluster.k"
    )


def score(images: Iterable[ScoredImage], options: Options, labels: MapLabels) -> SplitScores:
    """Mean IoU and accuracy, also by class and under the published conventions."""
    scored = labels.scored_labels(background=options.background != "ignored")
    names = labels.classes
    confusion, labelled = np.zeros((len(scored), len(names)), np.int64), False
    known = uncovered = 0
    remarks = []
    for image in images:
        assert image.labels is not None
        labelled = True
        predicted, truth = image.map, image.labels
        if options.protocol == "crop320":
            predicted, truth = central_labels(predicted), central_labels(truth)
        if options.background == "ignored":
            left_out = (predicted == 0) & (truth >= 0)
            known, uncovered = known + int((truth >= 0).sum()), uncovered + int(left_out.sum())
            truth = np.where(left_out, -1, truth)
        confusion += confusion_matrix(predicted - scored.start, truth, num_clusters=len(scored), num_classes=len(names))
    if labelled and (line := few_clusters(scored, names)):
        remarks.append(line)
    if options.background == "ignored" and labelled:
        remarks.append(f"background: ignored leaves out {uncovered} of {known} pixels")
    whole = confusion
    if options.surplus == "dropped":
        counted, confusion = confusion.sum(), drop_surplus(confusion)
        remarks.append(
            f"surplus: dropped leaves out {counted - confusion.sum()} of {counted} pixels, those of "
            f"{max(0, len(scored) - len(names))} clusters beyond the {len(names)} classes, as STEGO does"
        )
    matching = np.full(len(scored), -1, np.int64)
    if confusion.any():
        matching = match(confusion, matching=options.matching, surplus=options.surplus)
    result = confusion_scores(confusion, matching, absent=options.absent, extra_row=options.surplus == "dropped")
    metrics: dict[str, Any] = {}
    if labelled:
        metrics = {
            **mean_scores(confusion, result),
            "per_class": by_name(names, result.iou),
            "per_class_accuracy": by_name(names, result.class_accuracy),
            "convention": {
                **options.model_dump(include={"matching", "absent", "surplus"}),
                **options.model_dump(include={"background", "protocol"}, exclude_defaults=True),
            },
            "conventions": {name: convention_scores(whole, **settings) for name, settings in CONVENTIONS.items()},
        }
    rows = [(name, value) for name, value in zip(names, result.iou.tolist(), strict=True) if not math.isnan(value)]
    clusters = [f"{k}: {names[c] if c >= 0 else '-'}" for k, c in zip(scored, matching.tolist(), strict=True)]
    picture = confusion_png(confusion, names, clusters)
    return SplitScores(metrics, rows, picture, confusion, np.array(scored, np.int64), matching, remarks)


def central_labels(labels_HW: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Resize labels (H, W) by nearest neighbour to a shorter side of 320, and crop the central 320 x 320 pixels.

    Source: evaluation of STEGO and PriMaPs.
    """
    short, picks = min(labels_HW.shape), []
    for length in labels_HW.shape:
        resized = CROPPED * length // short
        positions = round((resized - CROPPED) / 2) + np.arange(CROPPED)
        picks.append(((positions + 0.5) * length / resized).astype(np.int64))
    return labels_HW[np.ix_(*picks)]


def convention_scores(
    confusion: npt.NDArray[np.int64], *, matching: str, absent: str, surplus: str
) -> dict[str, float | None]:
    """Mean IoU and accuracy under one published convention."""
    result = confusion_scores(confusion, match(confusion, matching=matching, surplus=surplus), absent=absent)
    return mean_scores(confusion, result)


def mean_scores(confusion: npt.NDArray[np.int64], result: ConfusionScores) -> dict[str, float | None]:
    """Mean IoU and accuracy; None where no pixel is scored."""
    return {"miou": result.miou, "accuracy": result.accuracy} if confusion.any() else {"miou": None, "accuracy": None}


def by_name(names: Sequence[str], values: npt.NDArray[np.float64]) -> dict[str, float | None]:
    """Class name -> value; None where there is nothing to score."""
    return {name: None if math.isnan(value) else float(value) for name, value in zip(names, values, strict=True)}


METHOD = EvaluateMethod(
    summary="Semantic maps: clusters are matched to classes; mean IoU and pixel accuracy.",
    call=score,
    options=Options,
    reads=reads_clusters,
    check=check,
    truth=("a label image",),
    titles={"miou": "mIoU", "accuracy": "pixel accuracy"},
    doubts=doubts,
    source="conventions of STEGO, PriMaPs, MaskContrast and DSM",
)
