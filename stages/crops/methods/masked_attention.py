"""The backbone on the box of a segment, its last layer on the tokens of the segment only."""

from usseg.stages.crops.method import F32, BoxOptions, CropsMethod, ImageSegments


def embed(segments: ImageSegments, options: BoxOptions) -> F32:
    """What the backbone says of each mask."""
    return segments.embed_crops(segments.masks)


METHOD = CropsMethod(
    summary="The backbone on the segment's box, its last layer on the segment only (semester report).",
    call=embed,
    pixels=True,
    source="semester report on DSM, section 3.1, per head",
)
