"""`python -m benchmarks.gpu`: features, eigenpairs, crops and clustering on a GPU, with the share of its GEMM rate.

Prints a table to put under "GPU" in benchmarks/RESULTS.md. `--device cpu --small` checks that the command itself works.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks import scenes
from benchmarks.cases import C, K, vit_flops, vit_params
from stages.cluster.methods import kmeans
from stages.eigen.affinity import affinity_batch, feature_affinity
from stages.eigen.color import grid_image, knn_affinity_on
from stages.eigen.laplacian import normalized_laplacian_batch, normalized_laplacian_eigenpairs
from stages.features.class_tokens import crop_class_features, image_features
from stages.features.stage import arithmetic, vit_of

ROUNDS = 7


def seconds(function: Callable[[], object], device: str) -> float:
    """Median of a few calls after one to warm up, until the device has finished."""

    def finished() -> None:
        function()
        if device != "cpu":
            torch.cuda.synchronize(device)

    finished()
    found = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        finished()
        found.append(time.perf_counter() - started)
    return float(np.median(found))


def gemm_rate(dtype: torch.dtype, device: str, side: int) -> float:
    """Operations a second of a large square GEMM."""
    first, second = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return 2 * side**3 / seconds(lambda: first @ second, device)


def say(name: str, per_image: float, flops: float = 0, rate: float = 0) -> None:
    share = f"{100 * flops / per_image / rate:.0f} %" if flops else ""
    print(f"| {name} | {1000 * per_image:.4g} | {share} |", flush=True)


def forward_passes(folder: Path, device: str, batches: tuple[int, ...], side: int) -> None:
    """Features in batches, and the crops of one image."""
    boxes = np.array([[x, y, x + 12, y + 10] for x in (0, 6, 12, 18) for y in (0, 4, 8)])
    for precision, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        rate = gemm_rate(dtype, device, side)
        print(f"\n{precision}: {rate / 1e12:.3g} TFLOP/s in a GEMM of side {side}.\n")
        print("| step | ms an image | of that rate |\n|---|---|---|")
        for patch in (16, 8):
            model = vit_of(vit_params(folder, patch), folder, device)
            tokens = (scenes.HEIGHT // patch) * (scenes.WIDTH // patch) + 1
            for batch in batches:
                images = torch.randn(
                    batch, 3, scenes.HEIGHT // patch * patch, scenes.WIDTH // patch * patch, device=device
                )
                with arithmetic({"precision": precision}, device):
                    used = seconds(partial(image_features, model, images, "k"), device)
                say(f"features, ViT-S/{patch}, batch {batch}", used / batch, vit_flops(tokens, patch), rate)
        model = vit_of(vit_params(folder, 16), folder, device)
        image = torch.randn(1, 3, 320, 480, device=device)
        for pack in (512, 10**6):
            with arithmetic({"precision": precision}, device):
                used = seconds(partial(crop_class_features, model, image, boxes, None, pack=pack), device)
            say(
                f"crops, {len(boxes)} of 12 x 10 patches, {pack} tokens a pack",
                used,
                len(boxes) * vit_flops(121, 16),
                rate,
            )


def eigenpairs(device: str, grids: tuple[tuple[int, int], ...], batch: int, side: int) -> None:
    """Features to eigenpairs on the device, by either solver, beside our solver on one core of the host."""
    rate = gemm_rate(torch.float32, device, side)
    for grid in grids:
        nodes = grid[0] * grid[1]
        rows = np.stack([scenes.features(seed, grid) for seed in range(batch)])

        smalls = [grid_image(scenes.scene(seed), grid) for seed in range(batch)]

        def there(solver: str, rows: np.ndarray = rows, smalls: Sequence[np.ndarray] = ()) -> object:
            graphs = affinity_batch(torch.from_numpy(rows).to(device))
            for row, small in enumerate(smalls):
                graphs[row] += 10 * knn_affinity_on(device, small)
            return normalized_laplacian_batch(graphs, k=K, solver=solver, device=device)

        @threadpool_limits.wrap(limits=1)
        def here(rows: np.ndarray = rows) -> object:
            return [normalized_laplacian_eigenpairs(feature_affinity(part), k=K, solver="lanczos") for part in rows]

        # Of the affinity, and 2 K products with a vector: what has to be done, whichever the solver.
        flops = 2 * nodes * nodes * (C + 2 * K)
        for solver in ("batched", "block_lanczos"):
            used = seconds(partial(there, solver), device)
            say(f"eigen, {nodes} tokens, {solver} on {device}, batch {batch}", used / batch, flops, rate)
        used = seconds(partial(there, "block_lanczos", smalls=smalls), device)
        say(f"eigen, {nodes} tokens, with colours, block_lanczos on {device}, batch {batch}", used / batch, flops, rate)
        say(f"eigen, {nodes} tokens, lanczos on one core of the host", seconds(here, device) / batch)


def clusters(device: str, rows: int) -> None:
    """k-means of segments by faiss."""
    points = np.random.default_rng(0).standard_normal((rows, C), np.float32)
    options = kmeans.Options.model_validate({})
    fit = partial(kmeans.fit, points, np.ones(rows), k=20, seed=0, options=options, device=device)
    say(f"cluster, k-means, {rows} segments, whole set", seconds(fit, device))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--small", action="store_true", help="small sizes, to see that it runs")
    options = parser.parse_args()
    device = options.device
    if device != "cpu" and not torch.cuda.is_available():
        raise SystemExit("no CUDA device here; --device cpu --small checks the command")
    name = "the CPU" if device == "cpu" else torch.cuda.get_device_name(device)
    print(f"Device: {name}, torch {torch.__version__}. ViT-S with random weights, images of 481 x 321.")
    with TemporaryDirectory() as folder:
        forward_passes(Path(folder), device, (1,) if options.small else (1, 8, 32), 512 if options.small else 8192)
    print("\n| step | ms | of the float32 rate |\n|---|---|---|")
    eigenpairs(device, *((((10, 14),), 2, 512) if options.small else (((28, 28), (45, 60)), 8, 8192)))
    clusters(device, 1000 if options.small else 240_000)


if __name__ == "__main__":
    main()
