"""Partitions, whatever their labels mean: covering, probabilistic Rand index and variation of information."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from usseg.stages.evaluate.partitions import partition_scores
from usseg.stages.evaluate.plots import histogram_png
from usseg.stages.evaluate.scored import MapLabels, ScoredImage, SplitScores

TRUTH = ("segmentations", "a label image")
# Of the main scores, on a page.
TITLES = {"covering": "covering", "pri": "probabilistic Rand index", "voi": "variation of information, bits"}


def score(images: Iterable[ScoredImage], params: Any, labels: MapLabels) -> SplitScores:
    """Means over images of the means over people; images without a scored pixel are left out."""
    found, people = [], 0
    for image in images:
        truths = image.partitions if image.partitions is not None else [image.labels]
        scored = [one for one in truths if one is not None and (one >= 0).any()]
        if scored:
            people += len(scored)
            found.append(partition_scores(image.map, scored))
    main = {name: float(np.mean([one[name] for one in found])) if found else None for name in TITLES}
    metrics = {
        "num_scored": len(found),
        "num_segmentations": people,
        **main,
        "convention": {"method": "partitions"},
    }
    rows = [(name, value) for name, value in main.items() if value is not None]
    return SplitScores(metrics, rows, histogram_png([one["covering"] for one in found], x="covering"), titles=TITLES)
