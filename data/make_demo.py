"""Draw the demo images: small synthetic landscapes with exact labels. Run: python data/make_demo.py"""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

CLASSES = ["sky", "water", "grass", "sand", "foliage", "brick"]
ROOT = Path(__file__).parent / "demo"
SIZES = [(120, 160), (120, 160), (128, 144), (144, 128)]


def noise(rng, shape, scale):
    small = rng.standard_normal((max(2, shape[0] // scale), max(2, shape[1] // scale))).astype(np.float32)
    return cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC)


def texture(rng, name, shape):
    h, w = shape
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    tint = rng.normal(0, 6, 3)
    if name == "sky":
        base = np.stack([120 + 90 * y / h, 165 + 55 * y / h, 225 + 15 * y / h], 2)
        cloud = np.clip(noise(rng, shape, 28) - 0.4, 0, 1)[..., None]
        return base + cloud * 55 + tint
    if name == "water":
        wave = np.sin(y * 1.1 + 1.5 * noise(rng, shape, 24)) * 14
        return np.stack([30 + wave, 95 + wave, 130 + wave], 2) + tint
    if name == "grass":
        blade = noise(rng, shape, 2) * 16 + noise(rng, shape, 20) * 8
        return np.stack([105 + blade, 150 + blade, 55 + blade * 0.5], 2) + tint
    if name == "sand":
        grain = noise(rng, shape, 1) * 6 + noise(rng, shape, 30) * 8
        return np.stack([222 + grain, 196 + grain, 145 + grain], 2) + tint
    if name == "foliage":
        leaf = noise(rng, shape, 4) * 24
        return np.stack([35 + leaf * 0.6, 82 + leaf, 38 + leaf * 0.5], 2) + tint
    shift = (y // 8 % 2) * 8
    mortar = ((y % 8 < 1.5) | ((x + shift) % 16 < 1.5)).astype(np.float32)[..., None]
    clay = np.stack([165 + 0 * x, 78 + 0 * x, 58 + 0 * x], 2) + noise(rng, shape, 6)[..., None] * 10
    return clay * (1 - mortar) + 190 * mortar + tint


def scene(rng, shape):
    h, w = shape
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    labels = np.zeros(shape, np.uint8)
    horizon = h * rng.uniform(0.3, 0.5) + noise(rng, (1 * 2, w), 30)[:1] * 4
    ground = int(rng.choice([2, 3]))
    labels[y > horizon] = ground
    if rng.random() < 0.65:
        shore = h * rng.uniform(0.55, 0.7) + noise(rng, (2, w), 40)[:1] * 6
        labels[(y > horizon) & (y < shore)] = 1
    if rng.random() < 0.75:
        hill = h * rng.uniform(0.3, 0.42) + noise(rng, (2, w), 24)[:1] * 12
        low, high = sorted(rng.uniform(0, w, 2))
        high = max(high, low + 0.3 * w)
        labels[(y > hill) & (y < horizon + 6) & (x > low) & (x < high)] = 4
    for _ in range(rng.integers(0, 3)):
        bw, bh = rng.uniform(0.18, 0.34, 2) * [w, h * 1.3]
        left, bottom = rng.uniform(0, w - bw), h * rng.uniform(0.62, 0.85)
        labels[(x > left) & (x < left + bw) & (y < bottom) & (y > bottom - bh)] = 5
    for _ in range(rng.integers(1, 4)):
        cx, cy, r = rng.uniform(0, w), h * rng.uniform(0.6, 0.95), h * rng.uniform(0.08, 0.18)
        bump = 1 + 0.2 * noise(rng, shape, 10)
        labels[(x - cx) ** 2 + ((y - cy) * 1.2) ** 2 < (r * bump) ** 2] = 4
    image = np.zeros((*shape, 3), np.float32)
    for value, name in enumerate(CLASSES):
        image = np.where((labels == value)[..., None], texture(rng, name, shape), image)
    image = image * rng.uniform(0.85, 1.1) + noise(rng, shape, 1)[..., None] * 3
    return np.clip(cv2.GaussianBlur(image, (0, 0), 0.6), 0, 255).astype(np.uint8), labels


def main():
    for split, count in (("train", 24), ("val", 12)):
        for kind in ("images", "labels"):
            (ROOT / kind / split).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            rng = np.random.default_rng([i, split == "val"])
            image, labels = scene(rng, SIZES[i % len(SIZES)])
            Image.fromarray(image).save(ROOT / "images" / split / f"scene{i:02d}.jpg", quality=92)
            Image.fromarray(labels).save(ROOT / "labels" / split / f"scene{i:02d}.png", optimize=True)


if __name__ == "__main__":
    main()
