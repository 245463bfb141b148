"""The trained segmenters by name. `stages/segmenter/method.py` says what a method gets and returns."""

from usseg.pipeline.methods import Methods
from usseg.stages.segmenter.method import SegmenterMethod

METHODS = Methods(
    "segmenter",
    SegmenterMethod,
    __name__,
    ("acg", "sempart"),
)
