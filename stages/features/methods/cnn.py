"""Any convolutional network of timm: the feature map of one layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.methods import on_device
from usseg.pipeline.params import Params
from usseg.stages.features.fitting import normalized
from usseg.stages.features.method import F32, Array, Backbone, BackboneMethod, Pixels, weights_file
from usseg.stages.features.precision import Precision, arithmetic

if TYPE_CHECKING:
    from torch import Tensor

    from usseg.stages.features.convolutional import CNN


class Options(Params):
    """Options of backbone `cnn`."""

    name: str = Field(min_length=1, description="timm name of a convolutional network, such as resnet50.a1_in1k")
    stride: int = Field(16, ge=1, le=256, description="stride of the layer whose map is used: side of a token, pixels")
    weights: str | None = Field(None, description="local .pth or .safetensors file with timm's keys; null: timm's hub")
    precision: Precision = Field(
        "float32", description="arithmetic of the layers; bfloat16 is faster, with errors of about 1e-2"
    )


@dataclass(frozen=True)
class Convolutional(Backbone):
    """A convolutional network on its device. An image is padded with zeros after the normalisation."""

    cnn: "CNN"
    precision: str
    device: str
    patch: int
    channels: int
    crop_channels: int

    def maps(self, images: Sequence[Pixels], grid: tuple[int, int]) -> "Tensor":
        """The feature maps (B, C, h, w) of the pixels under a grid."""
        from usseg.stages.features.convolutional import maps

        batch = self.batch(images, grid)
        with arithmetic(self.precision, self.device):
            return maps(self.cnn, batch).float()

    def batch(self, images: Sequence[Pixels], grid: tuple[int, int]) -> "Tensor":
        """The normalised pixels under a grid: float32 (B, 3, height, width)."""
        height, width = (length * self.patch for length in grid)
        cut = [image[:height, :width] for image in images]
        return normalized(cut, self.device, size=(height, width), mean=self.cnn.mean, std=self.cnn.std)

    def describe(self, images: Sequence[Pixels], grid: tuple[int, int], dtype: str) -> Mapping[str, Array]:
        """The vectors of the feature map. `cls` is their mean."""
        import torch

        found = self.maps(images, grid)
        stored = torch.float16 if dtype == "float16" else torch.float32
        patches = found.flatten(2).transpose(1, 2).to(stored)
        return {"patches": patches.cpu().numpy(), "cls": found.mean(dim=(2, 3)).cpu().numpy()}

    def embed_crops(
        self,
        image: Pixels,
        grid: tuple[int, int],
        boxes: npt.NDArray[np.int32],
        masks: Sequence[npt.NDArray[np.bool_]] | None,
    ) -> F32:
        """The mean of the feature map of each crop, over its mask where there are masks.

        Equal boxes are computed once.
        """
        import torch

        from usseg.stages.features.convolutional import maps, pooled

        whole = self.batch([image], grid)
        found: dict[tuple[int, ...], Tensor] = {}
        out = np.zeros((len(boxes), self.crop_channels), np.float32)
        for s, box in enumerate(map(tuple, boxes.tolist())):
            if box not in found:
                x0, y0, x1, y1 = (corner * self.patch for corner in box)
                with arithmetic(self.precision, self.device):
                    found[box] = maps(self.cnn, whole[:, :, y0:y1, x0:x1])[0].float()
            mask = None if masks is None else torch.from_numpy(masks[s]).to(self.device)
            out[s] = pooled(found[box], mask).cpu().numpy()
        return out

    def network(self) -> Any:
        """The layers of timm's network up to the map."""
        return self.cnn.model


def load(options: Options, project: Path, device: str) -> Convolutional:
    """Load the network that the options name.

    Raises:
        WeightsError, ParamsError: as `load_cnn`.
    """
    from usseg.stages.features.convolutional import load_cnn

    path = project / options.weights if options.weights else None
    cnn = load_cnn(options.name, stride=options.stride, weights=path, device=device)
    return Convolutional(cnn, options.precision, device, cnn.stride, cnn.channels, cnn.channels)


METHOD = BackboneMethod(
    summary="Any convolutional network of timm: the feature map of the last layer with the chosen stride.",
    call=load,
    options=Options,
    gpu=on_device,
    files=weights_file,
    source="Wightman, PyTorch Image Models (timm), features_only",
)
