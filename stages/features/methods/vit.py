"""Any plain vision transformer of timm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.errors import ParamsError
from usseg.pipeline.methods import on_device
from usseg.pipeline.params import PARAMS_FILE, Params, refused
from usseg.stages.features.fitting import normalized
from usseg.stages.features.method import F32, Array, Backbone, BackboneMethod, Pixels, weights_file
from usseg.stages.features.precision import Precision, arithmetic

if TYPE_CHECKING:
    from usseg.stages.features.transformer import ViT

FACETS = {"key": "k", "query": "q", "value": "v", "token": "tokens"}  # as `extract` names them
# A timm model with one of these parts in its name is rotary.
ROTARY = ("dinov3", "eva02", "rope", "pe_core", "pe_lang", "pe_spatial")


class TransformerOptions(Params):
    """Options of every transformer."""

    facet: Literal["key", "query", "value", "token"] = Field(
        "key", description="the output of the last block that describes a patch"
    )
    posembed: Literal["auto", "dino", "dinov2", "timm"] = Field(
        "auto", description="rule by which position embeddings are interpolated"
    )
    precision: Precision = Field(
        "float32", description="arithmetic of the linear layers; bfloat16 is faster, with errors of about 1e-2"
    )
    attention: bool = Field(
        False, description="also store the arrays for crops.method masked_image; twice the bytes, only for facet key"
    )


class Options(TransformerOptions):
    """Options of backbone `vit`."""

    name: str = Field("vit_small_patch16_224.dino", description="timm name of a plain ViT")
    weights: str | None = Field(
        None, description="local .pth or .safetensors file in the layout of DINO or DINOv2; null: timm's hub"
    )


@dataclass(frozen=True)
class Transformer(Backbone):
    """A transformer on its device. An image is padded with zeros after the normalisation."""

    vit: "ViT"
    options: TransformerOptions
    device: str
    patch: int
    channels: int
    crop_channels: int

    def describe(self, images: Sequence[Pixels], grid: tuple[int, int], dtype: str) -> Mapping[str, Array]:
        """The facet of the last block. `cls` is the class token after the final norm."""
        import torch

        from usseg.stages.features.class_tokens import can_pack, image_features
        from usseg.stages.features.transformer import extract

        height, width = (length * self.patch for length in grid)
        batch = normalized([image[:height, :width] for image in images], self.device, size=(height, width))
        facet, attention = FACETS[self.options.facet], self.options.attention
        with arithmetic(self.options.precision, self.device):
            if can_pack(self.vit) and facet != "tokens":
                found = image_features(self.vit, batch, facet)
            elif attention:
                raise ParamsError(
                    f"{PARAMS_FILE}: features.options.attention: found True; "
                    "the blocks of this model are not DINO's or DINOv2's; set false"
                )
            else:
                facets = extract(self.vit, batch)
                found = {"patches": facets[facet][:, self.vit.num_prefix :], "cls": facets["tokens"][:, 0]}
        stored = torch.float16 if dtype == "float16" else torch.float32
        kinds = {"patches": stored, "values": stored}
        wanted = ("patches", "cls", *(("values", "class_state") if attention else ()))
        return {name: found[name].to(kinds.get(name, torch.float32)).cpu().numpy() for name in wanted}

    def embed_crops(
        self,
        image: Pixels,
        grid: tuple[int, int],
        boxes: npt.NDArray[np.int32],
        masks: Sequence[npt.NDArray[np.bool_]] | None,
    ) -> F32:
        """The class token of each crop. With masks, the attention of the last block is masked.

        Source: DSM, where crops are cut from the normalised image without resizing; masked attention: semester report,
        section 3.1.
        """
        import torch

        from usseg.stages.features.class_tokens import can_pack, crop_class_features
        from usseg.stages.features.transformer import class_features

        whole = normalized([image], self.device, size=(grid[0] * self.patch, grid[1] * self.patch))
        out = np.zeros((len(boxes), self.crop_channels), np.float32)
        with arithmetic(self.options.precision, self.device):
            if can_pack(self.vit):
                return crop_class_features(self.vit, whole, boxes, masks).float().cpu().numpy() if len(boxes) else out
            for s, (x0, y0, x1, y1) in enumerate((boxes * self.patch).tolist()):
                mask = None if masks is None else torch.from_numpy(masks[s].reshape(1, -1)).to(self.device)
                out[s] = class_features(self.vit, whole[:, :, y0:y1, x0:x1], mask).float().cpu().numpy()[0]
        return out

    def embed_segments(self, stored: Mapping[str, F32], segments_N: npt.NDArray[np.int64], *, count: int) -> F32:
        """A class token of each segment, by the last block on the whole image."""
        import torch

        from usseg.stages.features.class_tokens import segment_class_features

        keys, values, state = (
            torch.from_numpy(stored[name]).to(self.device) for name in ("patches", "values", "class_state")
        )
        segments = torch.from_numpy(segments_N).to(self.device)
        with arithmetic(self.options.precision, self.device):
            found = segment_class_features(self.vit, keys, values, state, segments, count=count)
        embedded: F32 = found.float().cpu().numpy()
        return embedded

    def network(self) -> Any:
        """The transformer of timm."""
        return self.vit.model


def backbone_of(vit: "ViT", options: TransformerOptions, device: str) -> Transformer:
    """A loaded transformer as a backbone.

    Raises:
        WeightsError: its features are equal for every image.
    """
    from usseg.stages.features.networks import check_output

    check_output(vit, FACETS[options.facet])
    return Transformer(vit, options, device, vit.patch_size, vit.channels, vit.channels)


def load(options: Options, project: Path, device: str) -> Transformer:
    """Load the transformer that the options name.

    Raises:
        WeightsError: as `load_vit`.
    """
    from usseg.stages.features import networks

    path = project / options.weights if options.weights else None
    found = networks.load_vit(options.name, weights=path, posembed=options.posembed, device=device)
    return backbone_of(found, options, device)


def check_attention(options: TransformerOptions) -> None:
    """Refuse `attention: true` with another facet than the keys.

    Raises:
        ParamsError: names the key, the value and what to do.
    """
    if options.attention and options.facet != "key":
        raise refused(
            "features.options.attention",
            True,
            f"it is stored beside facet: key, not {options.facet}; set false or facet: key",
        )


def check(options: Options, sections: Mapping[str, Any]) -> None:
    """Refuse `attention: true` and `masked_attention` for a rotary transformer, which has neither.

    Raises:
        ParamsError: names the key, the value and what to do.
    """
    check_attention(options)
    if not any(part in options.name for part in ROTARY):
        return
    if options.attention:
        raise refused(
            "features.options.attention",
            True,
            f"name: {options.name} has none to store; set false, or DINO's or DINOv2's ViT",
        )
    if sections["crops"].method == "masked_attention":
        raise refused(
            "crops.method",
            "masked_attention",
            f"features.options.name: {options.name} is rotary, without it; use crop or mean",
        )


METHOD = BackboneMethod(
    summary="Any plain vision transformer of timm (DINO, DINOv2, DINOv3), by keys or another facet of its last block.",
    call=load,
    options=Options,
    gpu=on_device,
    check=check,
    files=weights_file,
    source="Caron et al., DINO (ICCV 2021); Melas-Kyriazi et al., Deep Spectral Methods (CVPR 2022), section 3",
)
