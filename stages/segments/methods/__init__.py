"""The segmentation methods by name. `stages/segments/method.py` says what a method gets and returns."""

from usseg.pipeline.methods import Methods
from usseg.stages.segments.method import SegmentsMethod

METHODS = Methods(
    "segments",
    SegmentsMethod,
    __name__,
    (
        "spectral",
        "kmeans",
        "fiedler",
        "tokencut",
        "maskcut",
        "primaps",
        "acg",
        "sempart",
    ),
)
