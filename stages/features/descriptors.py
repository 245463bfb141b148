"""The embedded descriptor: hand-made features without weights.

A patch is described by Lab means and spreads at four scales, gradient-orientation histograms at two, and its position.
The channels are shifted and scaled by fixed constants. The vector of a patch therefore depends on its image only.
Within an image, colour has the largest weight, because it shows the outlines. Between images the light changes, so
that segments are compared by `balanced` channels of about unit variance over photographs.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]

WINDOWS = (1, 3, 7, 15)  # averaging windows in patches
ORIENTATIONS = 8
ORIENTATION_WINDOWS = (1, 5)
LAB_CENTRE = (50.0, 0.0, 0.0)
LAB_SCALE = (25.0, 12.0, 12.0)
SPREAD_SCALE = (8.0, 4.0, 4.0)
SPREAD_CENTRE = 0.8
EDGE_SCALE = 0.06
POSITION_WEIGHT = (0.35, 1.0)  # left-right matters less than top-bottom
CHANNELS = 6 * len(WINDOWS) + (ORIENTATIONS + 1) * len(ORIENTATION_WINDOWS) + 4

COLOR_BALANCE = ((0.0, 0.0, 0.0), (0.9, 1.5, 1.5))  # shift and scale of a window's means
SPREAD_BALANCE = ((0.25,) * 3, (2.9,) * 3)
EDGE_BALANCE = ((0.06,) * ORIENTATIONS + (0.6,), (12.0,) * ORIENTATIONS + (3.3,))
POSITION_BALANCE = ((0.0,) * 4, (5.0, 1.7, 10.0, 3.3))


def channels() -> int:
    """The number of channels of a patch descriptor."""
    return CHANNELS


def crop_channels() -> int:
    """The number of channels of a segment embedding."""
    return CHANNELS


def balanced(descriptors: F32) -> F32:
    """Scale descriptors (..., channel) so that every channel has about zero mean and unit variance over photographs."""
    parts = [COLOR_BALANCE, SPREAD_BALANCE] * len(WINDOWS) + [EDGE_BALANCE] * len(ORIENTATION_WINDOWS)
    parts.append(POSITION_BALANCE)
    shift, scale = (np.concatenate([part[i] for part in parts]).astype(np.float32) for i in (0, 1))
    return (descriptors + shift) * scale


def cells(values: F32, rows: int, cols: int) -> F32:
    """The mean of pixels (height, width, channel) in each patch: float32 (row, column, channel)."""
    pooled = cv2.resize(values, (cols, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(pooled, np.float32).reshape(rows, cols, -1)


def windowed(grid: F32, window: int) -> F32:
    """Average a grid (row, column, channel) over windows of `window` x `window` patches.

    Border patches are repeated outside.
    """
    if window == 1:
        return grid
    blurred = cv2.blur(grid, (window, window), borderType=cv2.BORDER_REPLICATE)
    return blurred.reshape(grid.shape).astype(np.float32)


def describe(image: npt.NDArray[np.uint8], *, stride: int = 8) -> F32:
    """Describe every patch of an image.

    Args:
        image: uint8 RGB (height, width, 3).
        stride: side of a patch in pixels. Right and bottom remainders are left out; an image smaller than a patch is
            one patch.

    Returns:
        float32 (row, column, channel), finite, of about zero mean and unit range.

    Raises:
        ValueError: the image has another dtype or shape.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image: found {image.dtype} {image.shape}; uint8 (height, width, 3) is needed")
    rows, cols = max(1, image.shape[0] // stride), max(1, image.shape[1] // stride)
    covered = np.ascontiguousarray(image[: max(1, min(rows * stride, image.shape[0])), : max(1, cols * stride)])
    lab = np.asarray(cv2.cvtColor(covered.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB), np.float32)
    centred = np.asarray((lab - np.array(LAB_CENTRE)) / np.array(LAB_SCALE), np.float32)
    mean, square = cells(centred, rows, cols), cells(centred * centred, rows, cols)
    parts = []
    for window in WINDOWS:
        average = windowed(mean, window)
        spread = np.sqrt(np.maximum(windowed(square, window) - average**2, 0.0))
        relative = spread * np.asarray(LAB_SCALE, np.float32) / np.asarray(SPREAD_SCALE, np.float32)
        parts += [average, np.log1p(relative) - SPREAD_CENTRE]
    edges = cells(orientation_energy(lab[:, :, 0] / 100.0), rows, cols)
    for window in ORIENTATION_WINDOWS:
        energy = windowed(edges, window)
        total = energy.sum(axis=2, keepdims=True)
        share = energy / (total + EDGE_SCALE) - 1.0 / (2 * ORIENTATIONS)
        parts += [2.0 * share, np.log1p(total / EDGE_SCALE) - 1.0]
    parts.append(positions(rows, cols))
    return np.concatenate(parts, axis=2).astype(np.float32)


def orientation_energy(lightness: F32) -> F32:
    """The gradient magnitude, distributed linearly to the two nearest unsigned orientations.

    Returns float32 (height, width, orientation).
    """
    gray = np.ascontiguousarray(lightness, np.float32)
    dx = cv2.Sobel(gray, cv2.CV_32F, 1, 0, ksize=3, scale=0.125, borderType=cv2.BORDER_REPLICATE)
    dy = cv2.Sobel(gray, cv2.CV_32F, 0, 1, ksize=3, scale=0.125, borderType=cv2.BORDER_REPLICATE)
    magnitude = np.hypot(dx, dy)
    angle = (np.arctan2(dy, dx) % math.pi) * (ORIENTATIONS / math.pi)
    low = np.floor(angle).astype(np.int64) % ORIENTATIONS
    high_share = (angle - np.floor(angle)) * magnitude
    energy = np.zeros((*gray.shape, ORIENTATIONS), np.float32)
    np.put_along_axis(energy, low[..., None], (magnitude - high_share)[..., None], axis=2)
    high = ((low + 1) % ORIENTATIONS)[..., None]
    np.put_along_axis(energy, high, high_share[..., None], axis=2)
    return energy


def positions(rows: int, cols: int) -> F32:
    """The position of each patch, weakly weighted: x, y and their centred squares, with x and y in [-1, 1].

    Returns float32 (row, column, 4).
    """
    y = (np.arange(rows, dtype=np.float32) + 0.5) / rows * 2 - 1
    x = (np.arange(cols, dtype=np.float32) + 0.5) / cols * 2 - 1
    wx, wy = POSITION_WEIGHT
    grid_y, grid_x = np.meshgrid(y, x, indexing="ij")
    stacked = np.stack([wx * grid_x, wy * grid_y, wx * (grid_x**2 - 1 / 3), wy * (grid_y**2 - 1 / 3)], axis=2)
    return stacked.astype(np.float32)


def embed_crops(
    image: npt.NDArray[np.uint8],
    boxes: npt.NDArray[np.int32],
    masks: Sequence[npt.NDArray[np.bool_]] | None,
    *,
    stride: int = 8,
) -> F32:
    """Embed segments: the mean of the balanced descriptors in each box, or in the mask on the patches of the box.

    Args:
        image: uint8 RGB (height, width, 3).
        boxes: int32 (segment, 4): xmin, ymin, xmax, ymax in pixels, half open.
        masks: bool (row, column) of the box's patches, one a segment; None: the whole box.
        stride: side of a patch in pixels.

    Returns:
        float32 (segment, channel).

    Raises:
        ValueError: a mask has another shape than its box.
    """
    grid = balanced(describe(image, stride=stride))
    rows, cols = grid.shape[:2]
    out = np.zeros((len(boxes), crop_channels()), np.float32)
    for s, (x0, y0, x1, y1) in enumerate(np.asarray(boxes).tolist()):
        top, left = min(y0 // stride, rows - 1), min(x0 // stride, cols - 1)
        part = grid[top : max(top + 1, -(-y1 // stride)), left : max(left + 1, -(-x1 // stride))]
        tokens = part.reshape(-1, part.shape[2])
        if masks is not None:
            if masks[s].shape != part.shape[:2]:
                raise ValueError(f"mask {s}: found shape {masks[s].shape}; its box has {part.shape[:2]} patches")
            if masks[s].any():
                tokens = part[masks[s]]
        out[s] = tokens.mean(axis=0)
    return out
