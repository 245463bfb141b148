"""Cases of the benchmark: for each step of the pipeline the function of usseg, the reference, and the work to do."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import reference, scenes
from usseg.pipeline.images import read_image
from usseg.stages.crops.boxes import segment_boxes
from usseg.stages.eigen.color import grid_image, knn_affinity, with_color
from usseg.stages.eigen.graph import feature_affinity
from usseg.stages.eigen.laplacian import normalized_laplacian_eigenpairs
from usseg.stages.features.backbone_cache import backbone_of
from usseg.stages.features.class_tokens import crop_class_features, image_features, segment_class_features
from usseg.stages.features.fitting import normalized
from usseg.stages.features.methods.checkpoint import Options
from usseg.stages.features.precision import arithmetic
from usseg.stages.segments.genetic_kmeans import kmeans_labels

C, K = scenes.CHANNELS, 15


@dataclass(frozen=True)
class Case:
    """One row of the table.

    `theirs` and `ours` get the number of an input. They are None in the process of the table.
    """

    name: str
    theirs: Callable[[int], Any] | None
    ours: Callable[[int], Any] | None
    inputs: int  # number of inputs that a call handles one after the other
    rounds: int  # number of measurements of each side
    flops: float = 0  # operations of the necessary GEMMs for an input
    bytes: float = 0  # bytes that an input must move through memory


def every_case(folder: Path, photos: Sequence[Path]) -> Iterator[Case]:
    """Yield all cases in the order of the pipeline. A case is prepared when it is requested."""
    for patch, count, rounds in ((16, 3, 5), (8, 1, 3)):
        yield from features(folder, photos[:count], patch, rounds)
    for grid, count in (((20, 30), 32), ((40, 60), 3)):
        yield from eigen(photos, grid, count)
    for grid in ((20, 30), (40, 60)):
        yield segments(grid)
    yield from crops(folder, photos[:3])
    yield cluster()


def vit_params(folder: Path, patch: int, **edits: Any) -> dict[str, Any]:
    """Params of a ViT-S with random weights. The weights are written at the first call."""
    path = folder / f"vit{patch}.pth"
    if not path.exists():
        torch.save(scenes.vit_state(patch), path)
    return {"backbone": "checkpoint", "options": Options(weights=path.name, num_heads=6, **edits).model_dump()}


def block_flops(tokens: int) -> float:
    """Operations of one transformer block: its four linear layers, and attention."""
    return 24 * C * C * tokens + 4 * tokens * tokens * C


def vit_flops(tokens: int, patch: int) -> float:
    """Operations of a ViT-S up to the keys and values of its last block. The rest of that block is not needed."""
    return 11 * block_flops(tokens) + 4 * C * C * tokens + 2 * tokens * C * 3 * patch * patch


def whole_patches(path: Path, patch: int) -> np.ndarray:
    """Read an image and crop it to whole patches, uint8 (height, width, 3)."""
    image = read_image(path)
    return image[: image.shape[0] // patch * patch, : image.shape[1] // patch * patch]


def described(params: dict[str, Any], image: np.ndarray, folder: Path, patch: int) -> Any:
    """Features of an image, as the stage `features` stores them."""
    grid = (image.shape[0] // patch, image.shape[1] // patch)
    return backbone_of(params, folder, "cpu").describe([image], grid, "float32")


def features(folder: Path, photos: Sequence[Path], patch: int, rounds: int) -> Iterator[Case]:
    """Decoding, normalisation and forward pass up to the keys of the last block."""
    state = scenes.vit_state(patch)
    tokens = (scenes.HEIGHT // patch) * (scenes.WIDTH // patch) + 1

    def theirs(i: int) -> Any:
        return reference.forward(state, normalized([whole_patches(photos[i], patch)]))[1]

    for precision in ("float32", "bfloat16"):
        params = vit_params(folder, patch, precision=precision)
        yield Case(
            f"features, ViT-S/{patch}, {tokens - 1} tokens, {precision}",
            theirs,
            lambda i, params=params: described(params, read_image(photos[i]), folder, patch),
            len(photos),
            rounds,
            flops=vit_flops(tokens, patch) if precision == "float32" else 0,
        )


def eigen(photos: Sequence[Path], grid: tuple[int, int], count: int) -> Iterator[Case]:
    """Eigenpairs from features, without and with the colour graph."""
    nodes = grid[0] * grid[1]
    rows = [scenes.features(seed, grid) for seed in range(count)]
    colors = [grid_image(read_image(photos[i % len(photos)]), grid) for i in range(count)]

    def in_color(i: int) -> Any:
        weights = with_color(feature_affinity(rows[i]), knn_affinity(colors[i]), weight=10.0)
        return normalized_laplacian_eigenpairs(weights, k=K)

    # The affinity is symmetric: half of a GEMM. It is written once and read once. Then one triangle is read 2 K times.
    work = {"flops": nodes * nodes * C, "bytes": 4 * nodes * nodes * (2 + 2 * K / 2)}
    yield Case(
        f"eigen, {nodes} tokens",
        lambda i: reference.eigenpairs(rows[i], k=K),
        lambda i: normalized_laplacian_eigenpairs(feature_affinity(rows[i]), k=K),
        count,
        rounds=5,
        **work,
    )
    yield Case(
        f"eigen, {nodes} tokens, with colours",
        lambda i: reference.eigenpairs(rows[i], k=K, image_hw3=colors[i]),
        in_color,
        count,
        rounds=5,
        **work,
    )


def segments(grid: tuple[int, int]) -> Case:
    """k-means on the eigenvectors."""
    rows = [scenes.features(seed, grid) for seed in range(3)]
    vectors = [normalized_laplacian_eigenpairs(feature_affinity(row), k=K).vectors.astype(np.float32) for row in rows]
    return Case(
        f"segments, {grid[0] * grid[1]} tokens, k-means with 10 starts",
        lambda i: reference.segments(vectors[i], count=15),
        lambda i: kmeans_labels(vectors[i][1:].T, k=15, seed=0, generations=0),
        3,
        7,
    )


def crops(folder: Path, photos: Sequence[Path]) -> Iterator[Case]:
    """Features of all segments of an image.

    Both sides use the boxes of 15 segments after 2 erosions and 5 dilations.
    """
    state = scenes.vit_state(16)
    params = vit_params(folder, 16)
    model: Any = backbone_of(params, folder, "cpu").vit  # type: ignore[attr-defined]
    grid = (scenes.HEIGHT // 16, scenes.WIDTH // 16)
    maps = [scenes.segment_map(path, grid) for path in photos]
    boxes = [segment_boxes(segments)[1] for segments in maps]
    pixels = [normalized([whole_patches(path, 16)]) for path in photos]
    stored = [{name: values[0].clone() for name, values in image_features(model, x, "k").items()} for x in pixels]

    def theirs(i: int) -> Any:
        return reference.crop_features(state, pixels[i], boxes[i] * 16)

    def ours(i: int, precision: str) -> Any:
        with arithmetic(precision, "cpu"):
            return crop_class_features(model, pixels[i], boxes[i], None)

    def in_image(i: int) -> Any:
        parts, labels = stored[i], torch.from_numpy(maps[i].reshape(-1))
        return segment_class_features(
            model, parts["patches"], parts["values"], parts["class_state"], labels, count=len(boxes[i])
        )

    errors = [np.abs(ours(i, "float32").numpy() - theirs(i)).max() for i in range(len(photos))]
    assert max(errors) < 1e-4, errors
    different = [np.unique(box, axis=0) for box in boxes]
    sides = [(box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]) + 1 for box in different]
    flops = float(np.mean([sum(vit_flops(int(tokens), 16) for tokens in of_image) for of_image in sides]))
    number = (
        f"{np.mean([len(box) for box in boxes]):.0f} segments ({np.mean([len(box) for box in different]):.0f} boxes)"
    )
    rounds, count = 3, len(photos)
    yield Case(f"crops, crop, {number}, float32", theirs, lambda i: ours(i, "float32"), count, rounds, flops=flops)
    yield Case(f"crops, crop, {number}, bfloat16", theirs, lambda i: ours(i, "bfloat16"), count, rounds)
    nodes = grid[0] * grid[1]
    yield Case("crops, masked_image", theirs, in_image, count, rounds, bytes=2 * 4 * nodes * C)


def cluster(rows: int = 24_000) -> Case:
    """Clustering of segment features. usseg converges from 5 starts; the reference is one mini-batch run."""
    from usseg.stages.cluster.methods import kmeans

    rng = np.random.default_rng(0)
    points = (rng.normal(0, 1, (30, C))[rng.integers(30, size=rows)] + rng.normal(0, 1.5, (rows, C))).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    options = kmeans.Options.model_validate({})
    return Case(
        f"cluster, k-means, {rows} segments, whole set",
        lambda i: reference.cluster(points, count=20),
        lambda i: kmeans.fit(points, np.ones(rows), k=20, seed=0, options=options),
        1,
        2,
    )
