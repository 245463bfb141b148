"""How images are resized and cropped for a backbone, and which pixels the token grid covers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
Channels = tuple[float, float, float]
Pair = tuple[int, int]  # height and width, or rows and columns


@dataclass(frozen=True)
class Fitting:
    """How an image is resized, and where the grid of patches lies in the resized image."""

    size: Pair  # height and width of the resized image, pixels
    offset: Pair  # row and column of the first pixel under the grid, in the resized image
    grid: Pair  # rows and columns of patches


def fitting(size: Pair, resize: int | list[int] | None, fit: str, patch: int) -> Fitting:
    """Compute how an image is resized, and where its patches lie.

    Args:
        size: height and width of the image, pixels.
        resize: the value of `features.resize`.
        fit: `crop`: whole patches from the top left, what is beyond them is left out. `pad`: as many as cover the
            image, zeros beyond it (TokenCut). `resize`: each side becomes the nearest multiple of a patch, at least
            one (MaskCut). `square`: the shorter side becomes `resize`, and the patches lie in the square in the middle
            (PriMaPs, STEGO).
        patch: side of a patch, pixels.
    """
    if fit == "square":
        assert isinstance(resize, int)
        short, side = min(size), max(1, resize // patch)
        height, width = (max(side * patch, resize * length // short) for length in size)
        top, left = (round((length - side * patch) / 2) for length in (height, width))
        return Fitting((height, width), (top, left), (side, side))
    height, width = resized_size(size, resize, patch)
    if fit == "resize":
        height, width = (max(1, round(length / patch)) * patch for length in (height, width))
    return Fitting((height, width), (0, 0), grid_of((height, width), fit, patch))


def grid_of(size: Pair, fit: str, patch: int) -> Pair:
    """Rows and columns of patches on a resized image."""
    height, width = size
    return (-(-height // patch), -(-width // patch)) if fit == "pad" else (height // patch, width // patch)


def fitted_image(image: npt.NDArray[np.uint8], fitted: Fitting, patch: int) -> npt.NDArray[np.uint8]:
    """Resize an image, uint8 RGB (height, width, 3), for a backbone.

    For `square` only the pixels under the grid are kept.
    """
    if fitted.offset == (0, 0):
        return resize_image(image, fitted.size)
    from PIL import Image

    edges = []
    for length, resized, first, count in zip(image.shape, fitted.size, fitted.offset, fitted.grid, strict=False):
        scale = length / resized
        edges.append((first * scale, min(length, (first + count * patch) * scale)))
    (top, bottom), (left, right) = edges
    shape = (fitted.grid[1] * patch, fitted.grid[0] * patch)
    middle = Image.fromarray(image).resize(shape, Image.Resampling.BILINEAR, box=(left, top, right, bottom))
    return np.asarray(middle)


def extended(image: npt.NDArray[np.uint8], size: Pair) -> npt.NDArray[np.uint8]:
    """Extend an image (height, width, 3) to at least `size` by repeating its last row and column.

    A large enough image is returned unchanged.
    """
    missing = [max(0, wanted - length) for wanted, length in zip(size, image.shape, strict=False)]
    return np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge") if any(missing) else image


def resized_size(size: tuple[int, int], resize: int | list[int] | None, patch: int) -> tuple[int, int]:
    """Height and width after `features.resize`.

    None keeps the native size, an int bounds the longer side, and [height, width] is the exact size. An image with a
    side shorter than a patch is enlarged, with its aspect ratio kept, until that side is a patch.
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
    """Resize uint8 RGB to (height, width), bilinear with antialias. An image of that size is returned unchanged."""
    if image.shape[:2] == size:
        return image
    from PIL import Image

    resized = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR, reducing_gap=None)
    return np.asarray(resized)


def normalized(
    images: Sequence[npt.NDArray[np.uint8]],
    device: str = "cpu",
    *,
    size: Pair = (0, 0),
    mean: Channels = MEAN,
    std: Channels = STD,
) -> "Tensor":
    """Normalise images by mean and standard deviation: float32 (image, 3, height, width) on the device.

    Args:
        images: uint8 RGB (height, width, 3), all of one size.
        device: where the arithmetic is done.
        size: height and width. Smaller images are padded with zeros below and on the right, after the normalisation.
        mean, std: of the three channels, in [0, 1]; by default those of ImageNet.
    """
    import torch
    from torch.nn import functional

    pixels = torch.from_numpy(np.stack(images)).to(device)
    centre, spread = (torch.tensor(values).to(device) for values in (mean, std))
    scaled = ((pixels.float() / 255.0 - centre) / spread).permute(0, 3, 1, 2).contiguous()
    below, right = (max(0, wanted - length) for wanted, length in zip(size, scaled.shape[2:], strict=True))
    return functional.pad(scaled, (0, right, 0, below)) if below or right else scaled
