"""`python -m benchmarks.gpu`:

time each step that computes on a GPU, alone and as a stage, and compare with the GEMM rate.

It prints tables for the section "GPU" of benchmarks/RESULTS.md. `--out FILE` also writes the rows as JSON.
`--device cpu --small` checks the command.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image
from ruamel.yaml import YAML
from threadpoolctl import threadpool_limits

from benchmarks import scenes
from benchmarks.cases import C, K, vit_flops, vit_params
from usseg.pipeline.arrays import BLOCK
from usseg.pipeline.artifact import artifact_path, open_artifact
from usseg.pipeline.execution import Execution
from usseg.pipeline.images import read_image
from usseg.pipeline.parallel import thread_map
from usseg.pipeline.project import Project
from usseg.pipeline.runner import run_stage
from usseg.stages import STAGES
from usseg.stages.eigen.color import grid_image, knn_affinity_on
from usseg.stages.eigen.graph import affinity_batch, feature_affinity
from usseg.stages.eigen.laplacian import normalized_laplacian_batch, normalized_laplacian_eigenpairs
from usseg.stages.features.backbone_cache import backbone_of
from usseg.stages.features.class_tokens import crop_class_features, image_features
from usseg.stages.features.precision import arithmetic

ROUNDS, LONGEST = 7, 4.0  # most calls of a measurement; seconds after which no further call begins
ROWS: list[dict[str, Any]] = []


def seconds(function: Callable[[], object], device: str) -> float:
    """Median seconds of a few calls, each until the device has finished. The first call warms up and does not count,
    unless it is so slow that it is the only one.
    """
    durations: list[float] = []
    while len(durations) <= ROUNDS and sum(durations) < LONGEST:
        started = time.perf_counter()
        function()
        if device != "cpu":
            torch.cuda.synchronize(device)
        durations.append(time.perf_counter() - started)
    return float(np.median(durations[1:] or durations))


def gemm_rate(dtype: torch.dtype, device: str, side: int) -> float:
    """Operations per second of a square GEMM."""
    first, second = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return 2 * side**3 / seconds(lambda: first @ second, device)


def copy_rate(device: str, size: int) -> float:
    """Bytes per second, read and written, of a copy on the device."""
    source = torch.randn(size // 4, device=device)
    target = torch.empty_like(source)
    return 2 * size / seconds(lambda: target.copy_(source), device)


def say(name: str, per_image: float, flops: float = 0, rate: float = 0, error: float | None = None) -> None:
    """Print a row of the table and keep it in ROWS. `per_image` is in seconds, `rate` in operations per second."""
    share = f"{100 * flops / per_image / rate:.0f} %" if flops else ""
    shown = "" if error is None else f"{error:.1e}"
    ROWS.append({"step": name, "ms": 1000 * per_image, "share": share, "error": shown})
    print(f"| {name} | {1000 * per_image:.4g} | {1 / per_image:.4g} | {share} | {shown} |", flush=True)


def table(title: str) -> None:
    """Print the title and the head of a table."""
    print(
        f"\n{title}\n\n| step | ms an image | images/s | of the GEMM rate | error |\n|---|---|---|---|---|", flush=True
    )


def relative(values: torch.Tensor, exact: torch.Tensor) -> float:
    """Relative error in the Frobenius norm."""
    return float((values.cpu().double() - exact).norm() / exact.norm())


def forward_passes(folder: Path, device: str, batches: tuple[int, ...], side: int) -> None:
    """Forward passes in batches, and the crops of one image. Errors are relative to float64 on the CPU."""
    boxes = np.array([[x, y, x + 12, y + 10] for x in (0, 6, 12, 18) for y in (0, 4, 8)])
    models = {patch: backbone_of(vit_params(folder, patch), folder, device).vit for patch in (16, 8)}
    image = torch.randn(1, 3, 320, 480, generator=torch.Generator().manual_seed(0))
    wanted = {}
    for patch in (16, 8):
        exact = backbone_of(vit_params(folder, patch), folder, "cpu").vit
        exact.model.double()
        double = type(exact)(**{**vars(exact), "position": exact.position.double()})
        wanted[patch] = image_features(double, image.double(), "k")["patches"]
        exact.model.float()
    for precision, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        rate = gemm_rate(dtype, device, side)
        table(f"{precision}: {rate / 1e12:.3g} TFLOP/s in a GEMM of side {side}.")
        for patch in (16, 8):
            tokens = (scenes.HEIGHT // patch) * (scenes.WIDTH // patch) + 1
            with arithmetic(precision, device):
                patches = image_features(models[patch], image.to(device), "k")["patches"]
            error = relative(patches, wanted[patch])
            for batch in batches:
                images = torch.randn(
                    batch, 3, scenes.HEIGHT // patch * patch, scenes.WIDTH // patch * patch, device=device
                )
                with arithmetic(precision, device):
                    used = seconds(partial(image_features, models[patch], images, "k"), device)
                say(f"features, ViT-S/{patch}, batch {batch}", used / batch, vit_flops(tokens, patch), rate, error)
        for pack in (512, 10**6):
            with arithmetic(precision, device):
                run = partial(crop_class_features, models[16], image.to(device), boxes, None, pack=pack)
                used = seconds(run, device)
            flops = len(boxes) * vit_flops(121, 16)
            say(f"crops, {len(boxes)} of 12 x 10 patches, {pack} tokens a pack", used, flops, rate)


def eigenpairs(device: str, grids: tuple[tuple[int, int], ...], batches: tuple[int, ...], side: int) -> None:
    """Eigenpairs from features by both solvers on the device, and by the CPU solver on one core of the host."""
    rate = gemm_rate(torch.float32, device, side)
    table("Eigenpairs; the error is the largest difference of an eigenvalue from float64.")
    for grid in grids:
        nodes = grid[0] * grid[1]
        rows = np.stack([scenes.features(seed, grid) for seed in range(max(batches))])
        smalls = [grid_image(scenes.scene(seed), grid) for seed in range(max(batches))]
        flops = 2 * nodes * nodes * (C + 2 * K)  # the affinity, and 2 K products with a vector
        exact = normalized_laplacian_eigenpairs(feature_affinity(rows[0]), k=K, solver="dense").values

        def on_device(solver: str, batch: int, colors: Sequence[np.ndarray] = (), rows: np.ndarray = rows) -> Any:
            graphs = affinity_batch(torch.from_numpy(rows[:batch]).to(device))
            for row, small in enumerate(colors):
                graphs[row] += 10 * knn_affinity_on(device, small)
            return normalized_laplacian_batch(graphs, k=K, solver=solver, device=device)

        @threadpool_limits.wrap(limits=1)
        def on_host(rows: np.ndarray = rows) -> object:
            return [normalized_laplacian_eigenpairs(feature_affinity(part), k=K, solver="lanczos") for part in rows[:2]]

        for batch in batches:
            for solver in ("batched", "block_lanczos"):
                if solver == "batched" and (nodes > 1000 or batch != batches[0]):
                    continue
                error = float(np.abs(on_device(solver, batch)[0].values - exact).max())
                used = seconds(partial(on_device, solver, batch), device)
                say(f"eigen, {nodes} tokens, {solver}, batch {batch}", used / batch, flops, rate, error)
            used = seconds(partial(on_device, "block_lanczos", batch, smalls[:batch]), device)
            say(f"eigen, {nodes} tokens, block_lanczos with colours, batch {batch}", used / batch, flops, rate)
        say(f"eigen, {nodes} tokens, lanczos on one core of the host", seconds(on_host, "cpu") / 2)


def write_project(folder: Path, edits: dict[str, Any], images: int) -> None:
    """Write a project with one split of synthetic photos of 481 x 321."""
    (folder / "photos").mkdir(parents=True)
    for seed in range(images):
        Image.fromarray(scenes.scene(seed % 16)).save(folder / f"photos/{seed:04d}.jpg", quality=92)
    yaml = YAML(typ="safe")
    content = yaml.load((Path(__file__).parents[1] / "params.yaml").read_text())
    content["index"] |= {"root": ".", "splits": {"train": {"images": "photos/*", "labels": None, "ids": None}}}
    content["index"] |= {"classes": [], "label_values": []}
    for dotted, value in edits.items():
        section, _, key = dotted.partition(".")
        content.setdefault(section, {})[key] = value
    with (folder / "params.yaml").open("w") as stream:
        yaml.dump(content, stream)


def stage_seconds(project: Path, name: str, device: str, batch: int) -> float:
    """Seconds of a stage that is computed again."""
    note = artifact_path(project, name, "train").with_suffix(".run.json")
    note.unlink(missing_ok=True)
    started = time.perf_counter()
    run_stage(Project.open(STAGES, project), name, "train", Execution(device=device, batch_size=batch, workers=0))
    return time.perf_counter() - started


def whole_stages(folder: Path, device: str, images: int, patches: tuple[int, ...], epochs: int) -> None:
    """Stages as `usseg stage` runs them, with reading and writing. The first run loads libraries and is not shown."""
    for patch in patches:
        project = folder / f"project{patch}"
        vit_params(folder, patch)
        edits = {
            "features.backbone": "checkpoint",
            "features.options": {
                "weights": f"../vit{patch}.pth", "num_heads": 6, "precision": "bfloat16", "attention": patch == 16,
            },
            "features.resize": [448, 448] if patch == 16 else None, "crops.method": "crop", "segments.method": "acg",
            "segmenter.options": {"epochs": epochs}, "cluster.method": "abc", "cluster.options": {"epochs": epochs},
        }  # fmt: skip
        write_project(project, edits, images)
        stage_seconds(project, "index", "cpu", 8)
        table(
            f"Stages, {images} photos of 481 x 321, ViT-S/{patch} in bfloat16; "
            "features alone resized to 28 x 28 tokens."
        )
        photos = sorted((project / "photos").iterdir())
        with thread_map(4) as ordered:
            say(
                f"/{patch}: decode, 4 threads",
                seconds(lambda photos=photos: list(ordered(read_image, photos)), "cpu") / images,
            )
        for batch in (8, 32):
            stage_seconds(project, "features", device, batch)
            used = stage_seconds(project, "features", device, batch)
            say(f"/{patch}: features, batch {batch}", used / images)
        features = open_artifact(artifact_path(project, "features", "train"))["patches"]
        reading = seconds(lambda source=features: [source[i : i + BLOCK] for i in range(0, images, BLOCK)], "cpu")
        say(f"/{patch}: read features, one thread", reading / images)
        for batch in (8, 32):
            stage_seconds(project, "eigen", device, batch)
            say(f"/{patch}: eigen, batch {batch}", stage_seconds(project, "eigen", device, batch) / images)
        if patch == 16:
            used = stage_seconds(project, "segmenter", device, 32)
            say(f"acg, an epoch ({epochs} run, start included)", used / epochs / images)
            for name in ("segments", "crops"):
                say(f"/{patch}: {name}", stage_seconds(project, name, device, 32) / images)
            edited = (project / "params.yaml").read_text().replace("method: crop", "method: masked_image")
            (project / "params.yaml").write_text(edited)
            say(f"/{patch}: crops, masked_image", stage_seconds(project, "crops", device, 32) / images)
            used = stage_seconds(project, "cluster", device, 32)
            say(f"abc, an epoch ({epochs} run, start included)", used / epochs / images)


def clusters(device: str, rows: int) -> None:
    """k-means of segments with faiss."""
    from usseg.stages.cluster.methods import kmeans

    if device != "cpu" and kmeans.gpu_of(device) is None:
        print("\nk-means: this faiss knows no GPU, nothing measured.")
        return
    points = np.random.default_rng(0).standard_normal((rows, C), np.float32)
    options = kmeans.Options.model_validate({})
    fit = partial(kmeans.fit, points, np.ones(rows), k=20, seed=0, options=options, device=device)
    table("Clustering.")
    say(f"k-means, {rows} segments, whole set", seconds(fit, device) / rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--small", action="store_true", help="small sizes, to check the command")
    parser.add_argument("--only", default="forward,eigen,stages,cluster", help="parts to run, comma-separated")
    parser.add_argument("--out", type=Path, help="JSON file for the rows")
    options = parser.parse_args()
    device, small, parts = options.device, options.small, options.only.split(",")
    if device != "cpu" and not torch.cuda.is_available():
        raise SystemExit("no CUDA device here; --device cpu --small checks the command")
    name = "the CPU" if device == "cpu" else torch.cuda.get_device_name(device)
    rate = copy_rate(device, 2**26 if small else 2**32) / 1e12
    print(f"Device: {name}, torch {torch.__version__}, copies at {rate:.3g} TB/s. ViT-S with random weights.")
    with TemporaryDirectory() as folder:
        if "forward" in parts:
            forward_passes(Path(folder), device, (1,) if small else (1, 8, 32), 512 if small else 8192)
        if "eigen" in parts:
            grids, batches = (((10, 14),), (2,)) if small else (((28, 28), (45, 60)), (8, 32))
            eigenpairs(device, grids, batches, 512 if small else 8192)
        if "stages" in parts:
            whole_stages(Path(folder), device, 4 if small else 256, (16,) if small else (16, 8), 2 if small else 20)
        if "cluster" in parts:
            clusters(device, 1000 if small else 240_000)
    if options.out:
        options.out.write_text(json.dumps(ROWS, indent=1))


if __name__ == "__main__":
    main()
