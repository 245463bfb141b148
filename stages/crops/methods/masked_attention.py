"""The backbone on the box of a segment. The attention of the last block is limited to the segment."""

from usseg.stages.crops.method import F32, BoxOptions, CropsMethod, ImageSegments


def embed(segments: ImageSegments, options: BoxOptions) -> F32:
    """The backbone's features of each mask in its box."""
    return segments.embed_crops(segments.masks)


METHOD = CropsMethod(
    summary="The backbone on the segment's box, with the last attention limited to the segment (semester report).",
    call=embed,
    pixels=True,
    source="semester report on DSM, section 3.1, per head",
)
