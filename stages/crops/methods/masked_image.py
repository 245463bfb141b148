"""One class token a segment, by the last layer of a transformer on the whole image."""

from collections.abc import Mapping
from typing import Any

from usseg.pipeline.params import refused
from usseg.stages.crops.method import F32, BoxOptions, CropsMethod, ImageSegments


def embed(segments: ImageSegments, options: BoxOptions) -> F32:
    """What the backbone says of each segment within the image."""
    return segments.embed_segments()


def check(options: BoxOptions, sections: Mapping[str, Any]) -> None:
    """Refuse features without attention.

    Raises:
        ParamsError: as it says.
    """
    if not getattr(sections["features"].options, "attention", False):
        raise refused("crops.method", "masked_image", "it needs features.options.attention: true, of a ViT")


METHOD = CropsMethod(
    summary="One class token a segment, by the last layer of a transformer on the whole image.",
    call=embed,
    check=check,
    source="this project",
)
