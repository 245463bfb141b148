"""A class token of each segment, by the last block of a transformer on the whole image."""

from collections.abc import Mapping
from typing import Any

from usseg.pipeline.params import refused
from usseg.stages.crops.method import F32, BoxOptions, CropsMethod, ImageSegments


def embed(segments: ImageSegments, options: BoxOptions) -> F32:
    """The backbone's features of each segment within the image."""
    return segments.embed_segments()


def check(options: BoxOptions, sections: Mapping[str, Any]) -> None:
    """Refuse features without the arrays of `attention: true`.

    Raises:
        ParamsError: `features.options.attention` is not true.
    """
    if not getattr(sections["features"].options, "attention", False):
        raise refused("crops.method", "masked_image", "it needs features.options.attention: true, of a ViT")


METHOD = CropsMethod(
    summary="A class token of each segment, by the last block of a transformer on the whole image.",
    call=embed,
    check=check,
    source="this project",
)
