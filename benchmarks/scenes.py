"""Inputs of the benchmarks: photos, features that resemble those of a ViT, and ViTs with random weights.

The time of a forward pass does not depend on the weights. The time of an eigensolver depends on the spectrum, so the
random features have regions, slow changes and noise.
"""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from usseg.pipeline.images import read_image

HEIGHT, WIDTH, CHANNELS = 321, 481, 384
PHOTOS = Path(__file__).resolve().parents[2] / "shared" / "data" / "bsds500" / "images"


def photo_files(count: int, folder: Path) -> tuple[list[Path], str]:
    """Landscape photos of BSDS500 if present, otherwise synthetic scenes as JPEG files; and the name of the source."""
    from PIL import Image

    photos = []
    for path in sorted(PHOTOS.rglob("*.jpg")):
        with Image.open(path, formats=["JPEG"]) as image:
            if image.size == (WIDTH, HEIGHT):
                photos.append(path)
        if len(photos) == count:
            return photos, "BSDS500"
    paths = [folder / f"scene{seed}.jpg" for seed in range(count)]
    for seed, path in enumerate(paths):
        Image.fromarray(scene(seed)).save(path, quality=92)
    return paths, "synthetic"


def scene(seed: int) -> np.ndarray:
    """An image of smooth regions with texture, uint8 (HEIGHT, WIDTH, 3)."""
    rng = np.random.default_rng(seed)
    labels = regions(rng, (27, 41), 10)
    large = zoom(labels, (HEIGHT / 27, WIDTH / 41), order=0)[:HEIGHT, :WIDTH]
    colors = rng.integers(30, 220, (10, 3))[large]
    return np.clip(colors + rng.normal(0, 15, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)


def regions(rng: np.random.Generator, grid: tuple[int, int], count: int) -> np.ndarray:
    """A label map of smooth regions, int64 (row, column)."""
    fields = [gaussian_filter(rng.standard_normal(grid), grid[0] / 8) for _ in range(count)]
    return np.argmax(fields, axis=0)


def features(seed: int, grid: tuple[int, int]) -> np.ndarray:
    """Features of a scene, float32 (token, CHANNELS): a mean, regions, slow changes inside them, and noise."""
    rng = np.random.default_rng(seed)
    labels = regions(rng, grid, 12).reshape(-1)
    slow = np.stack([gaussian_filter(rng.standard_normal(grid), grid[0] / 10).reshape(-1) for _ in range(24)], axis=1)
    slow *= grid[0] / 3
    mean, means = rng.standard_normal(CHANNELS), rng.standard_normal((12, CHANNELS))
    noise = rng.standard_normal((len(labels), CHANNELS))
    rows = 1.2 * mean + means[labels] + 0.5 * slow @ rng.standard_normal((24, CHANNELS)) + 0.9 * noise
    return rows.astype(np.float32)


def vit_state(patch: int) -> dict[str, Any]:
    """Random weights of ViT-S in the official DINO layout."""
    import torch

    generator = torch.Generator().manual_seed(patch)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * 0.02

    side = 224 // patch
    state = {
        "cls_token": draw(1, 1, CHANNELS),
        "pos_embed": draw(1, 1 + side * side, CHANNELS),
        "patch_embed.proj.weight": draw(CHANNELS, 3, patch, patch),
        "patch_embed.proj.bias": draw(CHANNELS),
        "norm.weight": 1 + draw(CHANNELS),
        "norm.bias": draw(CHANNELS),
    }
    layers = {"attn.qkv": (3, 1), "attn.proj": (1, 1), "mlp.fc1": (4, 1), "mlp.fc2": (1, 4)}
    for block in range(12):
        for name in ("norm1", "norm2"):
            state[f"blocks.{block}.{name}.weight"] = 1 + draw(CHANNELS)
            state[f"blocks.{block}.{name}.bias"] = draw(CHANNELS)
        for name, (out, into) in layers.items():
            state[f"blocks.{block}.{name}.weight"] = draw(out * CHANNELS, into * CHANNELS)
            state[f"blocks.{block}.{name}.bias"] = draw(out * CHANNELS)
    return state


def segment_map(path: Path, grid: tuple[int, int], count: int = 15) -> np.ndarray:
    """Segments of a photo by spectral clustering of the embedded features, int64 (row, column); 0 is the background."""
    from usseg.stages.eigen.graph import feature_affinity
    from usseg.stages.eigen.laplacian import normalized_laplacian_eigenpairs
    from usseg.stages.features import descriptors
    from usseg.stages.segments.background import background_first, dense_ids
    from usseg.stages.segments.genetic_kmeans import kmeans_labels

    image = read_image(path)
    described = descriptors.describe(image, stride=image.shape[0] // grid[0])[: grid[0], : grid[1]]
    pairs = normalized_laplacian_eigenpairs(feature_affinity(described.reshape(-1, described.shape[2])), k=15)
    labels = kmeans_labels(pairs.vectors[1:].T, k=count, seed=0, generations=0)
    return dense_ids(background_first(labels.reshape(grid)), keep_zero=True)
