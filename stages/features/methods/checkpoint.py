"""A DINO or DINOv2 transformer of any size from a local file.

The shapes of the weights give the shape of the network.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from usseg.pipeline.methods import on_device
from usseg.stages.features.method import BackboneMethod, weights_file
from usseg.stages.features.methods.vit import Transformer, TransformerOptions, backbone_of, check_attention


class Options(TransformerOptions):
    """Options of backbone `checkpoint`."""

    weights: str = Field(min_length=1, description="local .pth or .safetensors file in the layout of DINO or DINOv2")
    num_heads: int | None = Field(None, ge=1, le=256, description="attention heads; null: channels / 64")


def load(options: Options, project: Path, device: str) -> Transformer:
    """Load the transformer of the file.

    Raises:
        WeightsError: as `load_checkpoint`.
    """
    from usseg.stages.features import networks

    found = networks.load_checkpoint(
        project / options.weights, posembed=options.posembed, num_heads=options.num_heads, device=device
    )
    return backbone_of(found, options, device)


def check(options: Options, sections: Mapping[str, Any]) -> None:
    """Refuse `attention: true` with another facet than the keys."""
    check_attention(options)


METHOD = BackboneMethod(
    summary="A DINO or DINOv2 transformer of any size from a local file.",
    call=load,
    options=Options,
    gpu=on_device,
    check=check,
    files=weights_file,
    source="Caron et al., DINO (ICCV 2021); Oquab et al., DINOv2 (TMLR 2024)",
)
