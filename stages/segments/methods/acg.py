"""The concepts that a trained concept generator finds in the image (ACSeg). Stage segmenter trains the generator."""

from usseg.pipeline.methods import on_device
from usseg.stages.segments.method import SegmentsMethod
from usseg.stages.segments.trained_segmenter import needs, reads_segmenter, trained_labels

METHOD = SegmentsMethod(
    summary="The concepts that a trained concept generator finds in each image (ACSeg).",
    call=trained_labels,
    reads=reads_segmenter,
    gpu=on_device,
    check=needs("acg"),
    source="Li et al., ACSeg (CVPR 2023)",
)
