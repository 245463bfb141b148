"""Object masks: label 0 is the background, every other label is an object.

Scores against true masks are accuracy, IoU and maxF. The score against true boxes is CorLoc.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field

from usseg.pipeline.params import Params, refused
from usseg.stages.evaluate.method import EvaluateMethod, MapLabels, ScoredImage, SplitScores, no_background
from usseg.stages.evaluate.object_scores import (
    Box,
    MaskCounts,
    best_overlap,
    central_crop,
    corloc,
    f_curve,
    mask_counts,
    object_box,
    object_scores,
)
from usseg.stages.evaluate.plots import curves_png, histogram_png


class Options(Params):
    """Options of method `objects`."""

    protocol: Literal["native", "crop320"] = Field(
        "native",
        description="native: full size; crop320: the central 320 x 320 at a shorter side of 335 (Sempart)",
    )
    pick: Literal["box", "area", "area8"] = Field(
        "box",
        description="the component that is compared with boxes: box, largest box; area, most pixels; area8, "
        "most pixels of the 8-connected ones, the whole image for an empty mask (DSM)",
    )


def check(options: Options, sections: Mapping[str, Any]) -> None:
    """Refuse maps without a background.

    Raises:
        ParamsError: names the param by which there is no background.
    """
    if none := no_background(sections):
        cure = "set it to border" if none.startswith("segments") else "set segments, or refine.source: segments"
        raise refused("evaluate.method", "objects", f"{none} leaves no background; {cure}")


def score(images: Iterable[ScoredImage], options: Options, labels: MapLabels) -> SplitScores:
    """The scores of masks, or of boxes where the ground truth is boxes.

    Images without a scored pixel or a true box are left out.

    Raises:
        ParamsError: the ground truth is boxes, and the protocol is not `native`.
    """
    counts: list[MaskCounts] = []
    found: list[Box | None] = []
    truths: list[list[Box]] = []
    soft = boxes = False
    for image in images:
        if image.boxes is None:
            soft = image.foreground is not None
            counts += [one for one in [masks_of(image, protocol=options.protocol)] if one.pixels]
        else:
            if options.protocol != "native":
                raise refused(
                    "evaluate.options.protocol", options.protocol, "native is allowed where the truth is boxes"
                )
            boxes = True
            found.append(object_box(image.map > 0, pick=options.pick))
            truths.append([tuple(box) for box in image.boxes.tolist()])
    return box_scores(found, truths, options) if boxes else mask_scores(counts, options, soft=soft)


def masks_of(image: ScoredImage, *, protocol: str) -> MaskCounts:
    """The pixel counts of an image over its scored pixels.

    The mask is the map above 0. The thresholds apply to the foreground probability where it is stored, else to the
    mask.
    """
    assert image.labels is not None
    mask, truth, counted = image.map > 0, image.labels > 0, image.labels >= 0
    soft = mask.astype(np.float32) if image.foreground is None else image.foreground / np.float32(255)
    if protocol == "crop320":
        mask, truth, counted = (central_crop(part) > 0.5 for part in (mask, truth, counted))
        soft = central_crop(soft)
    return mask_counts(soft[counted], truth[counted], mask=mask[counted])


def mask_scores(counts: list[MaskCounts], options: Options, *, soft: bool) -> SplitScores:
    """Accuracy, IoU and maxF from the counts of all images, and the plot of the mean F-beta at each threshold."""
    scores = object_scores(counts) if counts else None
    main = {name: getattr(scores, name, None) for name in ("accuracy", "iou", "dataset_iou", "max_f", "max_f_selfmask")}
    convention = {"method": "objects", "protocol": options.protocol, "soft": soft}
    metrics = {"num_scored": len(counts), **main, "convention": convention}
    curves = {"β² = 0.3": np.mean([f_curve(one) for one in counts], axis=0)} if counts else {}
    rows = [(name, value) for name, value in main.items() if value is not None]
    return SplitScores(metrics, rows, curves_png(curves, x="threshold", y="F, mean over images"))


def box_scores(boxes: list[Box | None], truths: list[list[Box]], options: Options) -> SplitScores:
    """CorLoc, and the histogram of the IoU of each image's box."""
    overlaps = [best_overlap(box, true) for box, true in zip(boxes, truths, strict=True) if true]
    found = corloc(boxes, truths)
    metrics = {
        "num_scored": len(overlaps),
        "corloc": found,
        "convention": {"method": "objects", "pick": options.pick},
    }
    picture = histogram_png(overlaps, x="IoU of the box with the nearest true one")
    return SplitScores(metrics, [("corloc", found)] if found is not None else [], picture)


METHOD = EvaluateMethod(
    summary="Object masks: accuracy, IoU and maxF against masks, CorLoc against boxes.",
    call=score,
    options=Options,
    check=check,
    truth=("a label image", "boxes"),
    titles={
        "accuracy": "pixel accuracy",
        "iou": "IoU",
        "dataset_iou": "IoU over all images",
        "max_f": "maxF, β² = 0.3",
        "max_f_selfmask": "maxF as SelfMask has it",
        "corloc": "CorLoc",
    },
    objects=True,
    source="evaluations of TokenCut, SelfMask, Sempart, FOUND and DSM",
)
