"""The mean of a segment's patch features."""

from pydantic import Field

from usseg.pipeline.inputs import Inputs
from usseg.stages.crops.method import F32, BoxOptions, CropsMethod, ImageSegments
from usseg.stages.crops.pooling import pool_segments


class Options(BoxOptions):
    """Options of method `mean`."""

    spread: bool = Field(False, description="append the standard deviation of the patch features")


def channels(options: Options, inputs: Inputs) -> int:
    """The channels of a token; twice as many with `spread`."""
    return int(inputs["features"]["patches"].shape[2]) * (2 if options.spread else 1)


def embed(segments: ImageSegments, options: Options) -> F32:
    """The mean, followed by the standard deviation with `spread`."""
    labels = segments.labels.reshape(-1)
    return pool_segments(segments.patches(), labels, count=len(segments.boxes), spread=options.spread)


METHOD = CropsMethod(
    summary="The mean of the segment's patch features.",
    call=embed,
    options=Options,
    channels=channels,
    backbone=False,
)
