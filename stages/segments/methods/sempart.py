"""One object: the coarse mask of a trained Sempart, 1 for the object and 0 elsewhere. Stage segmenter trains it."""

from usseg.pipeline.methods import on_device
from usseg.stages.segments.method import SegmentsMethod
from usseg.stages.segments.trained_segmenter import needs, reads_segmenter, trained_labels

METHOD = SegmentsMethod(
    summary="One object: the coarse mask of the trained head of Sempart.",
    call=trained_labels,
    reads=reads_segmenter,
    gpu=on_device,
    check=needs("sempart"),
    objects=True,
    source="Sempart (ICCV 2023) as re-implemented in Two Tricks, appendix A",
)
