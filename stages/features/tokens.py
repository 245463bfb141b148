"""Images -> the pixels a backbone sees, and back to the pixels that a grid covers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def resized_size(size: tuple[int, int], resize: int | list[int] | None, patch: int) -> tuple[int, int]:
    """Height and width after `features.resize`: None native, an int bounds the longer side, [height, width] is exact.

    A side shorter than a patch is brought up to one, keeping the aspect ratio.
    """
    height, width = size
    if isinstance(resize, list):
        height, width = resize
    elif resize is not None and max(size) > resize:
        height, width = (max(1, round(side * resize / max(size))) for side in size)
    if min(height, width) < patch:
        factor = patch / min(height, width)
        height, width = max(patch, round(height * factor)), max(patch, round(width * factor))
    return height, width


def resize_image(image: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Resize uint8 RGB to (height, width), bilinear with antialias; the same array where nothing changes."""
    if image.shape[:2] == size:
        return image
    from PIL import Image

    resized = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR, reducing_gap=None)
    return np.asarray(resized)


def normalized(images: Sequence[npt.NDArray[np.uint8]], device: str = "cpu") -> "Tensor":
    """Images of one size, uint8 (height, width, 3), by ImageNet's mean and standard deviation: float32 (image, 3, height, width).

    The bytes go to the device; the arithmetic is done there.
    """
    import torch

    pixels = torch.from_numpy(np.stack(images)).to(device)
    mean, spread = (torch.tensor(values).to(device) for values in (MEAN, STD))
    return ((pixels.float() / 255.0 - mean) / spread).permute(0, 3, 1, 2).contiguous()
