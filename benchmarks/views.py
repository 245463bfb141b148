"""Augmented views of photos for the training of a backbone. All photos and views are on the device.

Letters: B photos of a step.
"""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from usseg.pipeline.images import read_image

SIDE = 160  # pixels of the square that holds a photo
MASKED = 0.35  # share of the patches that are hidden in half of the large views


@dataclass(frozen=True)
class Photos:
    """All photos on the device, each in the top left corner of a square of SIDE pixels."""

    pixels: Tensor  # uint8 (photo, 3, SIDE, SIDE)
    sizes: Tensor  # float32 (photo, 2): height and width, pixels

    def __len__(self) -> int:
        return len(self.pixels)


def load_photos(folder: Path, device: str, limit: int | None = None) -> Photos:
    """Read the photos of a folder. A photo with a side above SIDE pixels is scaled down."""
    import cv2

    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))[:limit]
    if not paths:
        raise SystemExit(f"{folder}: no .jpg or .png photo")
    square = np.zeros((len(paths), SIDE, SIDE, 3), np.uint8)
    sizes = np.zeros((len(paths), 2), np.float32)

    def read(number: int) -> None:
        image = read_image(paths[number])
        scale = SIDE / max(image.shape[:2])
        if scale < 1:
            width, height = (max(1, round(side * scale)) for side in (image.shape[1], image.shape[0]))
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        square[number, : image.shape[0], : image.shape[1]] = image
        sizes[number] = image.shape[:2]

    with ThreadPoolExecutor() as pool:
        list(pool.map(read, range(len(paths))))
    pixels = torch.from_numpy(square).to(device).permute(0, 3, 1, 2).contiguous()
    return Photos(pixels, torch.from_numpy(sizes).to(device))


def uniform(count: int, low: float, high: float, device: torch.device) -> Tensor:
    """Uniform random numbers in [low, high), float32 (count,)."""
    return torch.empty(count, device=device).uniform_(low, high)


def crops(photos: Photos, chosen: Tensor, side: int, scale: tuple[float, float]) -> Tensor:
    """Random resized and mirrored crops, float32 (B, 3, side, side) in [0, 1], one of each chosen photo."""
    device, count = chosen.device, len(chosen)
    sizes = photos.sizes[chosen]
    area = sizes.prod(dim=1) * uniform(count, *scale, device)
    ratio = uniform(count, math.log(3 / 4), math.log(4 / 3), device).exp()
    height = torch.minimum((area / ratio).sqrt(), sizes[:, 0])
    width = torch.minimum((area * ratio).sqrt(), sizes[:, 1])
    top = torch.rand(count, device=device) * (sizes[:, 0] - height)
    left = torch.rand(count, device=device) * (sizes[:, 1] - width)
    mirror = (torch.rand(count, device=device) < 0.5).float() * -2 + 1
    steps = (torch.arange(side, device=device) + 0.5) / side
    ys = top[:, None] + steps * height[:, None]
    xs = left[:, None] + (0.5 + (steps - 0.5) * mirror[:, None]) * width[:, None]
    grid = torch.stack([xs[:, None, :].expand(-1, side, -1), ys[:, :, None].expand(-1, -1, side)], dim=3)
    images = photos.pixels[chosen].float() / 255
    return functional.grid_sample(images, grid * (2 / SIDE) - 1, align_corners=False, padding_mode="border")


def recoloured(images: Tensor, *, blur: float, solarize: float) -> Tensor:
    """Change brightness, contrast, saturation and hue; some images become grey, blurred or solarised. Then normalise.

    The normalisation is that of ImageNet. `blur` and `solarize` are probabilities.
    """
    device, count = images.device, len(images)

    def some(probability: float) -> Tensor:
        return (torch.rand(count, 1, 1, 1, device=device) < probability).float()

    def around_one(strength: float) -> Tensor:
        return 1 + uniform(count, -strength, strength, device)[:, None, None, None]

    weights = torch.tensor([0.299, 0.587, 0.114], device=device)[None, :, None, None]
    jittered = images * around_one(0.4)
    mean = (jittered * weights).sum(dim=1, keepdim=True).mean(dim=(2, 3), keepdim=True)
    jittered = mean + (jittered - mean) * around_one(0.4)
    grey = (jittered * weights).sum(dim=1, keepdim=True)
    jittered = grey + (jittered - grey) * around_one(0.2)
    angle = uniform(count, -0.1, 0.1, device) * 2 * math.pi
    jittered = torch.einsum("bij,bjhw->bihw", hue_rotation(angle), jittered).clamp(0, 1)
    jittered = torch.lerp(images, jittered, some(0.8))
    jittered = torch.lerp(jittered, (jittered * weights).sum(dim=1, keepdim=True), some(0.1))
    jittered = torch.lerp(jittered, blurred(jittered), some(blur))
    jittered = torch.lerp(jittered, torch.where(jittered > 0.5, 1 - jittered, jittered), some(solarize))
    mean = torch.tensor([0.485, 0.456, 0.406], device=device)[None, :, None, None]
    spread = torch.tensor([0.229, 0.224, 0.225], device=device)[None, :, None, None]
    return (jittered - mean) / spread


def hue_rotation(angle: Tensor) -> Tensor:
    """Rotations of RGB about the grey axis, (B, 3, 3)."""
    cosine, sine = angle.cos(), angle.sin() / math.sqrt(3)
    rest = (1 - cosine) / 3
    rows = [rest + cosine, rest - sine, rest + sine]
    return torch.stack([torch.stack(rows[-i:] + rows[:-i], dim=1) for i in range(3)], dim=1)


def blurred(images: Tensor) -> Tensor:
    """Blur each image by its own Gaussian with a sigma of 0.1 to 1.2 pixels."""
    count, _, height, width = images.shape
    sigma = uniform(count, 0.1, 1.2, images.device)
    offsets = torch.arange(-3, 4, device=images.device)
    kernel = torch.exp(-(offsets**2) / (2 * sigma[:, None] ** 2))
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(3, dim=0)
    flat = functional.pad(images.reshape(1, count * 3, height, width), (3, 3, 3, 3), mode="reflect")
    flat = functional.conv2d(flat, kernel[:, None, :, None], groups=count * 3)
    return functional.conv2d(flat, kernel[:, None, None, :], groups=count * 3).reshape(images.shape)


def masks(count: int, rows: int, device: torch.device) -> Tensor:
    """Masks of hidden patches in blobs, the same number in each view, bool (count, rows * rows)."""
    coarse = torch.rand(count, 1, (rows + 1) // 2, (rows + 1) // 2, device=device)
    smooth = functional.interpolate(coarse, size=(rows, rows), mode="bilinear", align_corners=False)
    noise = (smooth[:, 0] + 0.1 * torch.rand(count, rows, rows, device=device)).flatten(1)
    hidden = torch.zeros(count, rows * rows, dtype=torch.bool, device=device)
    return hidden.scatter_(1, noise.topk(round(MASKED * rows * rows), dim=1).indices, True)


def batches(photos: Photos, batch: int) -> Iterator[Tensor]:
    """Yield batches of photo numbers in random order, without end."""
    while True:
        order = torch.randperm(len(photos), device=photos.pixels.device)
        yield from order[: len(order) // batch * batch].split(batch) if len(order) >= batch else [order]
