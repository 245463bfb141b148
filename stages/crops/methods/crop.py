"""The backbone on the box of a segment (DSM)."""

from usseg.stages.crops.method import F32, BoxOptions, CropsMethod, ImageSegments


def embed(segments: ImageSegments, options: BoxOptions) -> F32:
    """The backbone's features of each box."""
    return segments.embed_crops()


METHOD = CropsMethod(
    summary="The backbone on the segment's box: the class token of a transformer (DSM).",
    call=embed,
    pixels=True,
    source="Melas-Kyriazi et al., Deep Spectral Methods (CVPR 2022), section 3.3",
)
