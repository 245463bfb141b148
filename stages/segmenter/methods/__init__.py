"""The trained segmenters by name. `stages/segmenter/method.py` says what a method gets and returns."""

from usseg.pipeline.methods import Methods
from usseg.stages.segmenter.method import SegmenterMethod
from usseg.stages.segmenter.methods import acg

METHODS = Methods("segmenter", SegmenterMethod, {"acg": acg.METHOD})
