"""Write the report."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.artifact import Artifact
from usseg.pipeline.execution import Execution
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.opening import knobs
from usseg.pipeline.params import Params
from usseg.pipeline.stage import Input, Stage

SIDE = 320  # longer side of a picture on the page, pixels
SHOWN = 100  # largest number of classes, and of clusters, in the tables
DIMMED = (np.arange(256) * 0.35 + 20).astype(np.uint8)  # level -> darker level, for pixels outside a segment


class ReportParams(Params):
    """How many pictures the page shows."""

    max_images: int = Field(12, ge=0, le=10_000, description="largest number of images of a split")
    max_segments: int = Field(
        24, ge=0, le=10_000, description="largest number of segments of a cluster on the contact sheet"
    )


def run(params: ReportParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """Render the page."""
    from jinja2 import Environment, FileSystemLoader

    from usseg.stages.report.palette import palette

    splits = list(inputs["index"])
    names = list(inputs.index_params["classes"])
    label_colors = {split: colors_of_labels(inputs, split) for split in splits}
    used = {name: item[splits[0]] if isinstance(item, dict) else item for name, item in inputs.artifacts.items()}
    page = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True)
    html = page.get_template("template.html.j2").render(
        summary=summary_of(inputs, used),
        splits=[split_view(params, inputs, split, names, palette(len(names)), label_colors[split]) for split in splits],
        clusters=contact_sheet(params, inputs, label_colors) if "crops" in used else [],
        params={name: dict(knobs(artifact.params)) for name, artifact in used.items()},
    )
    return {"files": {"report/index.html": html}}


def summary_of(inputs: Inputs, used: Mapping[str, Artifact]) -> str:
    """The line under the title."""
    features = used["features"].params
    parts = [
        f"{sum(a.num_images for a in inputs['index'].values())} images",
        f"{features['options'].get('name', features['backbone'])} features",
    ]
    if "segments" in used:
        parts.append(f"{used['segments'].params['method']} segments")
    if "cluster" in used:
        cluster = used["cluster"]
        number = int(cluster["centers"].shape[0])
        rows = "" if cluster.params["rows"] == "segments" else f" of {cluster.params['rows']}"
        parts.append(f"{cluster.params['method']}, {number} clusters{rows} fitted on {cluster.attrs['split']}")
    return " · ".join(parts)


def on_background(count: int) -> npt.NDArray[np.uint8]:
    """The colours of label 0, the background, and of labels 1 to `count`: uint8 (count + 1, 3)."""
    from usseg.stages.report.palette import BACKGROUND, palette

    return np.vstack([[BACKGROUND], palette(count)]).astype(np.uint8)


def colors_of_labels(inputs: Inputs, split: str) -> npt.NDArray[np.uint8]:
    """The colours of all labels in the maps of a split: uint8 (label, 3).

    A matched cluster has the colour of its class. Every other cluster has a colour of its own.
    """
    from usseg.stages.report.palette import BACKGROUND, palette

    if inputs["refine"][split].params["source"] == "segments":
        return on_background(int(inputs["segments"][split]["num_segments"][:].max()))
    classes, clusters = len(inputs.index_params["classes"]), int(inputs["cluster"]["centers"].shape[0]) + 1
    colors = palette(classes + clusters)
    out = colors[classes:]
    out[0] = BACKGROUND
    evaluate = inputs["evaluate"][split]
    for label, value in zip(evaluate["label"][:], evaluate["matching"][:], strict=True):
        if value >= 0:
            out[label] = colors[value]
    return out


def css(color: npt.NDArray[np.uint8]) -> str:
    """A colour for a style sheet."""
    return "rgb({}, {}, {})".format(*color.tolist())


def spread(count: int, limit: int) -> list[int]:
    """At most `limit` indices, spread evenly over 0 to count - 1."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, limit))}) if count and limit else []


def split_view(
    params: ReportParams,
    inputs: Inputs,
    split: str,
    names: list[str],
    class_colors: npt.NDArray[np.uint8],
    label_colors: npt.NDArray[np.uint8],
) -> dict[str, Any]:
    """The part of the page on one split, for the template."""
    from usseg.stages.report.pictures import color_map, data_uri, eigenvector_picture, fit_within, nearest_within

    index, eigen = inputs["index"][split], inputs.artifacts.get("eigen", {}).get(split)
    grids, segments = inputs["features"][split]["grid"], inputs.artifacts.get("segments", {}).get(split)
    ids, refined = index["id"], inputs["refine"][split]["maps"]
    shown = []
    for i in spread(index.num_images, params.max_images):
        h, w = grids[i].tolist()
        coarse = segments["segments"][i, : h * w].reshape(h, w) if segments else None
        maps = [
            eigenvector_picture(eigen["eigenvectors"][i, : int(eigen["num_eigenvectors"][i]), : h * w], (h, w))
            if eigen
            else None,
            None if coarse is None else color_map(coarse, on_background(int(coarse.max(initial=0)))),
            color_map(nearest_within(refined[i], SIDE), label_colors),
        ]
        pictures: list[str | None] = [data_uri(fit_within(inputs.image(i, split), SIDE))]
        pictures += [
            None if picture is None else data_uri(nearest_within(picture, SIDE), kind="PNG") for picture in maps
        ]
        truth = truth_picture(inputs, i, split, class_colors, SIDE)
        if truth:
            pictures.append(truth)
        shown.append({"id": ids[i], "pictures": pictures})
    return {"name": split, "count": index.num_images, "images": shown, **score_view(inputs, split, names, class_colors)}


def truth_picture(inputs: Inputs, i: int, split: str, class_colors: npt.NDArray[np.uint8], side: int) -> str | None:
    """The ground truth of an image as a data URI; None without ground truth.

    It shows label maps with ignored values in grey, the regions of the first annotator, or boxes.
    """
    from usseg.stages.report.palette import palette
    from usseg.stages.report.pictures import color_map, data_uri, draw_boxes, fit_within, nearest_within

    truth = inputs.truth(i, split)
    if truth is None:
        return None
    if truth.boxes is not None:
        return data_uri(fit_within(draw_boxes(inputs.image(i, split), truth.boxes), side))
    if truth.labels is not None:
        labels = nearest_within(truth.labels, side)
        largest = int(labels.max(initial=0))
        if inputs["evaluate"][split].call("of_objects"):  # those of the maps
            colors = on_background(largest)
        else:
            colors = class_colors if len(class_colors) else palette(largest + 1)
    else:
        assert truth.partitions is not None
        labels = nearest_within(truth.partitions[0], side)
        colors = palette(int(labels.max()) + 1)
    return data_uri(color_map(labels, colors), kind="PNG")


def score_view(inputs: Inputs, split: str, names: list[str], class_colors: npt.NDArray[np.uint8]) -> dict[str, Any]:
    """The scores of a split for the template, with class scores and the confusion matrix where there is one."""
    artifact = inputs["evaluate"][split]
    main = [(title, f"{value:.3f}") for title, value in zip(artifact["title"], artifact["score"][:], strict=True)]
    confusion, matching, labels = (artifact[name][:] for name in ("confusion", "matching", "label"))
    if not confusion.sum():
        labelled = any(inputs["index"][split]["label_path"])
        return {"scores": main, "unscored": "nothing to score" if labelled else "no labels"}
    iou, accuracy = artifact.call("class_scores")
    share = 100 * confusion / np.maximum(confusion.sum(axis=0, keepdims=True), 1)
    order = sorted(range(len(matching)), key=lambda k: (matching[k] < 0, matching[k]))[:SHOWN]
    shown_classes = sorted(np.argsort(-confusion.sum(axis=0), kind="stable")[:SHOWN].tolist())
    left_out = [
        f"{count - SHOWN} more {kind}"
        for count, kind in ((len(names), "classes"), (len(matching), "clusters"))
        if count > SHOWN
    ]

    def shown(value: float) -> str:
        return "–" if math.isnan(value) else f"{value:.3f}"

    return {
        "scores": main,
        "classes": [
            {
                "name": names[c],
                "color": css(class_colors[c]),
                "iou": shown(iou[c]),
                "accuracy": shown(accuracy[c]),
                "width": 0 if math.isnan(iou[c]) else round(100 * iou[c], 1),
            }
            for c in shown_classes
        ],
        "left_out": f"not shown: {' and '.join(left_out)}" if left_out else "",
        "confusion": [
            {
                "name": f"{labels[k]} → {names[matching[k]] if matching[k] >= 0 else 'none'}",
                "shares": [round(v) for v in share[k, shown_classes].tolist()],
            }
            for k in order
        ],
    }


def contact_sheet(
    params: ReportParams, inputs: Inputs, label_colors: dict[str, npt.NDArray[np.uint8]]
) -> list[dict[str, Any]]:
    """Pictures of segments by label, from the split that the clustering was fitted on."""
    from usseg.stages.report.pictures import data_uri, fit_within

    split = inputs["cluster"].attrs["split"]
    crops, assign, segments = inputs["crops"][split], inputs["assign"][split], inputs["segments"][split]
    labels, features = assign["segment_labels"][:], inputs["features"][split]
    strides, offsets = features["stride"][:].tolist(), features["offset"][:].tolist()
    evaluate, names = inputs["evaluate"][split], inputs.index_params["classes"]
    matched = dict(zip(evaluate["label"][:].tolist(), evaluate["matching"][:].tolist(), strict=True))
    sheets = []
    for label in sorted(int(v) for v in np.unique(labels) if v >= 0):
        where = np.argwhere(labels == label)
        pictures = []
        for pick in spread(len(where), params.max_segments):
            i, s = where[pick].tolist()
            x0, y0, x1, y1 = crops["boxes"][i, s].tolist()
            h, w = segments["grid"][i].tolist()
            image = inputs.image(i, split)
            mask = segments["segments"][i, : h * w].reshape(h, w) == s + 1
            grown = pixel_mask(mask, image.shape[:2], strides[i], offsets[i])[y0:y1, x0:x1]
            shown = image[y0:y1, x0:x1]
            if shown.size:
                pictures.append(data_uri(fit_within(np.where(grown[..., None], shown, DIMMED[shown]), 96)))
        matched_class = matched.get(label, -1)
        sheets.append(
            {
                "name": f"cluster {label}" + (f" · {names[matched_class]}" if matched_class >= 0 else ""),
                "color": css(label_colors[split][label]),
                "count": len(where),
                "pictures": pictures,
            }
        )
    return sheets


def pixel_mask(
    mask_hw: npt.NDArray[np.bool_], size: tuple[int, ...], stride: Sequence[float], offset: Sequence[int] = (0, 0)
) -> npt.NDArray[np.bool_]:
    """The pixels of an image that the tokens of a mask cover: bool (height, width).

    Args:
        mask_hw: bool (row, column), tokens.
        size: height and width of the image.
        stride: height and width of a token, pixels.
        offset: row and column of the first pixel under the grid.
    """
    rows, cols = (
        np.clip(np.floor((np.arange(side) - first) / step).astype(np.int64), -1, count) + 1
        for side, step, count, first in zip(size, stride, mask_hw.shape, offset, strict=True)
    )
    return np.pad(mask_hw, 1)[np.ix_(rows, cols)]


EACH = ("features", "eigen", "segments", "crops", "assign", "refine")

STAGE = Stage(
    name="report",
    summary="Write one self-contained page: scores, images, clusters, params.",
    version=1,
    params=ReportParams,
    inputs=(
        Input("index", "all", labels=True),
        *(Input(name, "all", when="present") for name in EACH),
        Input("cluster", "fit", when="present"),
        Input("evaluate", "all", calls=("class_scores", "of_objects")),
    ),
    arrays={},
    run=run,
    scope="all",
)
