"""The solver for GPUs, run on the CPU by torch, compared with LAPACK in float64.

The graphs are those of photos, and graphs on which the iteration is hard.
"""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from usseg.pipeline.images import read_image
from usseg.stages.eigen import block_lanczos
from usseg.stages.eigen.color import grid_image, knn_affinity, with_color
from usseg.stages.eigen.eigenpairs import Eigenpairs
from usseg.stages.eigen.graph import (
    OFFSETS,
    affinity_batch,
    binary_affinity,
    binary_batch,
    feature_affinity,
    projected_affinity,
)
from usseg.stages.eigen.laplacian import (
    by_block_lanczos,
    degrees,
    normalized_laplacian_batch,
    normalized_laplacian_eigenpairs,
)
from usseg.stages.features import descriptors

GRID, K = (20, 30), 15
PHOTOS = Path(__file__).resolve().parents[3] / "shared" / "data" / "bsds500" / "images"


def stacked(*graphs: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(graphs).astype(np.float32))


def random_graph(seed: int, kind: str = "none", nodes: int = 300) -> np.ndarray:
    """That of features in a few loose groups."""
    rng = np.random.default_rng(seed)
    features = rng.normal(0.4, 1, (9, 32))[rng.integers(9, size=nodes)] + rng.normal(0, 0.8, (nodes, 32))
    if kind == "signed":
        return feature_affinity(features + 1, threshold=False)
    return binary_affinity(features) if kind == "binary" else feature_affinity(features, offset=kind)


@pytest.fixture
def graphs_handed_on(caplog: pytest.LogCaptureFixture):
    """How many graphs went to torch.linalg.eigh, by the log."""
    caplog.set_level(logging.INFO, logger="usseg")
    return lambda: sum(record.args[0] for record in caplog.records if "torch.linalg.eigh" in record.msg)


def check(found: Eigenpairs, weights: np.ndarray, *, k: int, atol: float = 1e-6) -> None:
    """Values, D-orthonormal rows, and the K-space where there is a gap, as LAPACK finds them."""
    more = normalized_laplacian_eigenpairs(weights, k=k + 1, solver="dense")
    np.testing.assert_allclose(found.values, more.values[:k], atol=atol)
    root = np.sqrt(degrees(weights.astype(np.float64)))
    ours, theirs = found.vectors * root, more.vectors[:k] * root
    np.testing.assert_allclose(ours @ ours.T, np.eye(len(ours)), atol=1e-5)
    if len(more.values) > k and (gap := more.values[k] - more.values[k - 1]) > 1e-4:
        assert np.linalg.norm(ours - ours @ theirs.T @ theirs, 2) < max(1e-4, 2e-6 / gap)


@pytest.mark.parametrize("kind", ["none", "mean", "third", "binary", "signed"])
def test_a_batch_as_exact_as_asked(kind: str, graphs_handed_on) -> None:
    graphs = [random_graph(seed, kind) for seed in range(3)]
    for found, weights in zip(by_block_lanczos(stacked(*graphs), k=K), graphs, strict=True):
        check(found, weights, k=K, atol=1e-5 if kind == "binary" else 1e-6)
    assert graphs_handed_on() == 0


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="BSDS500 is not here")
@pytest.mark.parametrize("color", [False, True])
def test_photos(color: bool, graphs_handed_on) -> None:
    graphs = []
    for path in sorted(PHOTOS.rglob("*.jpg"))[:12:3]:
        image = read_image(path)
        image = image if image.shape[1] > image.shape[0] else image.transpose(1, 0, 2)
        described = descriptors.describe(np.ascontiguousarray(image), stride=16)[: GRID[0], : GRID[1]]
        weights = feature_affinity(described.reshape(GRID[0] * GRID[1], -1))
        graphs.append(with_color(weights, knn_affinity(grid_image(image, GRID)), weight=10.0) if color else weights)
    for found, weights in zip(by_block_lanczos(stacked(*graphs), k=K), graphs, strict=True):
        check(found, weights, k=K)
    assert graphs_handed_on() == 0


def copies(groups: int, across: float, nodes: int = 240) -> np.ndarray:
    """Equal groups, all equally far: all eigenvalues but one are equal, then zeros."""
    groups_of = np.arange(nodes) % groups
    return np.where(groups_of[:, None] == groups_of, 1.0, across).astype(np.float32)


@pytest.mark.parametrize(
    ("weights", "k"),
    [
        (np.ones((200, 200), np.float32), 10),
        (np.eye(200, dtype=np.float32) + np.float32(0.01), 10),
        (copies(3, 0.2), 10),
        (copies(7, 0.2), 12),
        (copies(20, 0.01), 19),  # more copies of an eigenvalue than a block has vectors
        (feature_affinity(np.eye(5)[np.arange(200) % 5] + 0.3), 12),
    ],
)
def test_little_to_iterate_on(weights: np.ndarray, k: int, graphs_handed_on) -> None:
    check(by_block_lanczos(stacked(weights), k=k)[0], weights, k=k, atol=1e-5)
    assert graphs_handed_on() == 0


@pytest.mark.parametrize(
    ("weights", "k"),
    [
        (np.ones((1, 1), np.float32), 5),
        (random_graph(0, nodes=40), 39),
        (random_graph(0, nodes=40), 50),
        (copies(3, 0.0), 5),
        (copies(3, 0.0), 1),
        (copies(2, 1e-8), 5),
        (np.zeros((100, 100), np.float32), 5),
        (np.pad(random_graph(0, nodes=99), (0, 1)), 5),  # a node without edges
    ],
)
def test_other_graphs_are_handed_on(weights: np.ndarray, k: int, graphs_handed_on) -> None:
    easy = np.ones_like(weights)
    found = normalized_laplacian_batch(stacked(weights, easy), k=k, solver="block_lanczos")
    expected = normalized_laplacian_eigenpairs(weights, k=k, solver="dense")
    np.testing.assert_allclose(found[0].values, expected.values, atol=1e-9)
    assert found[0].components == expected.components
    assert found[0].vectors.shape == expected.vectors.shape
    assert graphs_handed_on() == 1 + (k == 1 or 4 * k > len(easy))


def test_what_does_not_settle_is_handed_on(monkeypatch: pytest.MonkeyPatch, graphs_handed_on) -> None:
    monkeypatch.setattr(block_lanczos, "MOST_BLOCKS", 6)
    weights = random_graph(0)
    check(by_block_lanczos(stacked(weights), k=K)[0], weights, k=K)
    assert graphs_handed_on() == 1


def test_batch_and_order_change_rounding_only() -> None:
    graphs = [random_graph(seed, kind) for seed, kind in enumerate(["none", "third", "mean"])]
    together = by_block_lanczos(stacked(*graphs), k=K)
    for order in ([0], [1], [2], [2, 0, 1]):
        for row, found in zip(order, by_block_lanczos(stacked(*[graphs[row] for row in order]), k=K), strict=True):
            np.testing.assert_allclose(found.values, together[row].values, atol=1e-6)
            root = np.sqrt(graphs[row].sum(axis=1))
            cosines = np.linalg.svd((found.vectors * root) @ (together[row].vectors * root).T, compute_uv=False)
            np.testing.assert_allclose(cosines, 1, atol=1e-6)


def test_auto_off_the_cpu() -> None:
    weights = random_graph(1)
    found = normalized_laplacian_eigenpairs(weights, k=K, device="cpu:0")
    expected = normalized_laplacian_eigenpairs(weights, k=K, solver="block_lanczos")
    np.testing.assert_array_equal(found.vectors, expected.vectors)
    small = weights[:50, :50]
    exact = normalized_laplacian_eigenpairs(small, k=5, device="cpu:0").values
    np.testing.assert_allclose(exact, normalized_laplacian_eigenpairs(small, k=5, solver="dense").values, atol=1e-10)


@pytest.fixture
def features() -> np.ndarray:
    """Of four images, float32: among them tokens that are all alike, and one of zeros."""
    drawn = np.random.default_rng(0).normal(0.3, 1, (4, 70, 12)).astype(np.float32)
    drawn[2] = drawn[2, 0]
    drawn[3, 5] = 0
    return drawn


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("threshold", [True, False])
@pytest.mark.parametrize("offset", OFFSETS)
def test_affinities_in_a_batch(offset: str, threshold: bool, normalize: bool, features: np.ndarray) -> None:
    settings = {"offset": offset, "threshold": threshold, "normalize": normalize}
    found = affinity_batch(torch.from_numpy(features), **settings).numpy()
    for weights, rows in zip(found, features, strict=True):
        np.testing.assert_allclose(weights, feature_affinity(rows, **settings), atol=1e-6)


@pytest.mark.parametrize("normalize", [True, False])
def test_binary_graphs_in_a_batch(normalize: bool, features: np.ndarray) -> None:
    found = binary_batch(torch.from_numpy(features), tau=0.3, eps=1e-4, normalize=normalize).numpy()
    for weights, rows in zip(found, features, strict=True):
        expected = binary_affinity(rows, tau=0.3, eps=1e-4, normalize=normalize)
        np.testing.assert_allclose(weights, expected, atol=1e-6)


@pytest.mark.parametrize("offset", ["mean", "third"])
def test_projections_in_a_batch(offset: str) -> None:
    rng = np.random.default_rng(1)
    features, projected = (rng.normal(0.3, 1, (2, 30, size)).astype(np.float32) for size in (12, 4))
    extra = torch.from_numpy(projected)
    found = affinity_batch(torch.from_numpy(features), offset=offset, projected_BNP=extra, weight=0.3).numpy()
    for weights, rows, part in zip(found, features, projected, strict=True):
        np.testing.assert_allclose(weights, projected_affinity(rows, part, weight=0.3, offset=offset), atol=1e-6)


def test_an_unknown_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="offset: found 'median'; none, mean, third are allowed"):
        affinity_batch(torch.ones(1, 2, 2), offset="median")
