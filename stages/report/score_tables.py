"""The scores of a split, with the class table and the confusion matrix where there is one."""

import math
from typing import Any

import numpy as np

from usseg.pipeline.inputs import Inputs
from usseg.stages.report.label_colors import class_colors, css

SHOWN = 100  # largest number of classes, and of clusters, in the tables


def score_tables(inputs: Inputs, split: str) -> dict[str, Any]:
    """The scores of a split for the template."""
    artifact, names = inputs["evaluate"][split], list(inputs.index_params["classes"])
    main = [(title, f"{value:.3f}") for title, value in zip(artifact["title"], artifact["score"][:], strict=True)]
    confusion, matching, labels = (artifact[name][:] for name in ("confusion", "matching", "label"))
    if not confusion.sum():
        labelled = any(inputs["index"][split]["label_path"])
        return {"scores": main, "unscored": "nothing to score" if labelled else "no labels"}
    iou, accuracy = artifact.call("class_scores")
    colors = class_colors(inputs)
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
                "color": css(colors[c]),
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
