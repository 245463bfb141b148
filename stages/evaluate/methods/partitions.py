"""Partitions, independent of label numbers: covering, probabilistic Rand index and variation of information."""

from collections.abc import Iterable

import numpy as np

from usseg.pipeline.methods import NoOptions
from usseg.stages.evaluate.method import EvaluateMethod, MapLabels, ScoredImage, SplitScores
from usseg.stages.evaluate.partition_scores import partition_scores
from usseg.stages.evaluate.plots import histogram_png

TITLES = {"covering": "covering", "pri": "probabilistic Rand index", "voi": "variation of information, bits"}


def score(images: Iterable[ScoredImage], options: NoOptions, labels: MapLabels) -> SplitScores:
    """The means over images of the means over annotators. Images without a scored pixel are left out."""
    scores, annotators = [], 0
    for image in images:
        truths = image.partitions if image.partitions is not None else [image.labels]
        scored = [one for one in truths if one is not None and (one >= 0).any()]
        if scored:
            annotators += len(scored)
            scores.append(partition_scores(image.map, scored))
    main = {name: float(np.mean([one[name] for one in scores])) if scores else None for name in TITLES}
    metrics = {
        "num_scored": len(scores),
        "num_segmentations": annotators,
        **main,
        "convention": {"method": "partitions"},
    }
    rows = [(name, value) for name, value in main.items() if value is not None]
    return SplitScores(metrics, rows, histogram_png([one["covering"] for one in scores], x="covering"))


METHOD = EvaluateMethod(
    summary="Partitions, independent of label numbers: covering, probabilistic Rand index, variation of information.",
    call=score,
    truth=("segmentations", "a label image"),
    titles=TITLES,
    lower=("voi",),
    source="Arbelaez et al., Contour Detection and Hierarchical Image Segmentation (PAMI 2011)",
)
