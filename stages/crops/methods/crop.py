"""The backbone on the box of a segment (DSM)."""

from usseg.stages.crops.method import F32, BoxOptions, CropsMethod, ImageSegments


def embed(segments: ImageSegments, options: BoxOptions) -> F32:
    """What the backbone says of each box."""
    return segments.embed_crops()


METHOD = CropsMethod(
    summary="The backbone on the segment's box: of a transformer its class token (DSM).",
    call=embed,
    pixels=True,
    source="Melas-Kyriazi et al., Deep Spectral Methods (CVPR 2022), section 3.3",
)
