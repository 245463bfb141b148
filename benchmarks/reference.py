"""The reference algorithm: deep spectral methods, written from its description, with the same sizes and calls.

One forward pass per image or crop with explicit attention, shift-invert about a singular matrix, k-means of
scikit-learn, and one .pth file per image.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import eigsh
from scipy.spatial import cKDTree
from torch.nn import functional

HEADS = 6
NEIGHBOURS = ((20, 2.0), (10, 0.1))


def linear(state: Mapping[str, torch.Tensor], name: str, rows: torch.Tensor) -> torch.Tensor:
    return functional.linear(rows, state[f"{name}.weight"], state[f"{name}.bias"])


def norm(state: Mapping[str, torch.Tensor], name: str, rows: torch.Tensor) -> torch.Tensor:
    return functional.layer_norm(rows, rows.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], 1e-6)


def positions(state: Mapping[str, torch.Tensor], rows: int, cols: int) -> torch.Tensor:
    """Position embeddings for a grid, by DINO's rule: bicubic interpolation with the factor (grid + 0.1) / side."""
    stored = state["pos_embed"]
    side = round((stored.shape[1] - 1) ** 0.5)
    grid = stored[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    factors = ((rows + 0.1) / side, (cols + 0.1) / side)
    scaled = functional.interpolate(grid, scale_factor=factors, mode="bicubic").permute(0, 2, 3, 1)
    return torch.cat([stored[:, :1], scaled.reshape(1, rows * cols, -1)], dim=1)


@torch.no_grad()
def forward(state: Mapping[str, torch.Tensor], images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The class token after the final norm, (B, D), and the keys of the last block, (B, T, D)."""
    patch = state["patch_embed.proj.weight"].shape[-1]
    grid = functional.conv2d(images, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=patch)
    tokens = torch.cat([state["cls_token"].expand(len(images), -1, -1), grid.flatten(2).transpose(1, 2)], dim=1)
    tokens = tokens + positions(state, *grid.shape[2:])
    batch, length, channels = tokens.shape
    for block in range(12):
        name = f"blocks.{block}"
        qkv = linear(state, f"{name}.attn.qkv", norm(state, f"{name}.norm1", tokens))
        q, k, v = qkv.reshape(batch, length, 3, HEADS, channels // HEADS).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) * (channels // HEADS) ** -0.5).softmax(dim=-1)
        mixed = (weights @ v).transpose(1, 2).reshape(batch, length, channels)
        tokens = tokens + linear(state, f"{name}.attn.proj", mixed)
        hidden = functional.gelu(linear(state, f"{name}.mlp.fc1", norm(state, f"{name}.norm2", tokens)))
        tokens = tokens + linear(state, f"{name}.mlp.fc2", hidden)
    keys = k.transpose(1, 2).reshape(batch, length, channels)
    return norm(state, "norm", tokens)[:, 0], keys


def crop_features(state: Mapping[str, torch.Tensor], image: torch.Tensor, boxes: np.ndarray) -> np.ndarray:
    """Class token of each crop, float32 (segment, channel), by one forward pass per crop. Boxes are in pixels."""
    return np.concatenate([forward(state, image[:, :, y0:y1, x0:x1])[0].numpy() for x0, y0, x1, y1 in boxes.tolist()])


def knn_affinity(image_hw3: np.ndarray) -> sparse.csr_matrix:
    """Sparse affinity (token, token): counts of nearest neighbours in colour and position."""
    rows, cols = image_hw3.shape[:2]
    count = rows * cols
    x, y = np.tile(np.linspace(0, 1, cols), rows), np.repeat(np.linspace(0, 1, rows), cols)
    i, j = [], []
    for k, weight in NEIGHBOURS:
        points = np.column_stack([image_hw3.reshape(count, 3), weight * x, weight * y]).astype(np.float32)
        neighbours = cKDTree(points).query(points, k=k)[1]
        own = np.repeat(np.arange(count), k)
        i += [own, neighbours.reshape(-1)]
        j += [neighbours.reshape(-1), own]
    rows_i, rows_j = np.concatenate(i), np.concatenate(j)
    return sparse.csr_matrix((np.ones(len(rows_i), np.float32), (rows_i, rows_j)), (count, count))


def eigenpairs(features: np.ndarray, *, k: int, image_hw3: np.ndarray | None = None) -> tuple[Any, Any]:
    """The k smallest eigenpairs of (D - W) y = lambda D y by shift-invert at 0."""
    rows = functional.normalize(torch.from_numpy(features), p=2, dim=-1)
    affinity = rows @ rows.T
    affinity = affinity * (affinity > 0)
    weights = (affinity / affinity.max()).numpy()
    if image_hw3 is not None:
        weights = weights + 10 * np.asarray(knn_affinity(image_hw3).todense())
    degrees = np.diag(weights @ np.ones(len(weights), weights.dtype))
    try:
        values, vectors = eigsh(degrees - weights, k=k, sigma=0, which="LM", M=degrees)
    except Exception:  # as the original: a singular factorisation is ignored silently
        values, vectors = eigsh(degrees - weights, k=k, which="SM", M=degrees)
    rows_kn = vectors.T
    for row in range(k):
        if 0.5 < (rows_kn[row] > 0).mean() < 1:
            rows_kn[row] = -rows_kn[row]
    return values, rows_kn.astype(np.float32)


def segments(vectors_kn: np.ndarray, *, count: int) -> np.ndarray:
    """k-means on all eigenvectors except the first."""
    from sklearn.cluster import KMeans

    return KMeans(n_clusters=count, n_init=10).fit_predict(vectors_kn[1:].T)


def cluster(rows: np.ndarray, *, count: int) -> np.ndarray:
    """Mini-batch k-means on unit rows."""
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.preprocessing import normalize

    model = MiniBatchKMeans(n_clusters=count, batch_size=4096, max_iter=5000, random_state=0)
    return model.fit_predict(normalize(rows))


def save(path: Path, content: dict[str, Any]) -> None:
    """Write one .pth file."""
    torch.save(content, path)
