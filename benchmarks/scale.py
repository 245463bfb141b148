"""`python -m benchmarks.scale workers`:

time stages with several processes. `... tracking`: time `dvc add` of artifacts.

`workers` runs the commands on images of 481 x 321, so the start of the workers counts. Run it on an idle machine.
The efficiency of n workers is the time with one worker divided by n times the time with n workers.
"""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image
from ruamel.yaml import YAML

from benchmarks import reference, scenes
from benchmarks.storage import AXES
from usseg.pipeline.arrays import BLOCK, create_arrays, write_rows
from usseg.pipeline.artifact import ArraySpec
from usseg.pipeline.publication import seal

ROOT = Path(__file__).resolve().parents[1]
# A ViT for its forward pass, and the embedded descriptor with 4,240 tokens for the later stages.
# Both give enough work: the start of the workers takes a small part of the time.
CHAINS = {"checkpoint": ("features",), "lowlevel": ("features", "eigen", "segments", "crops", "assign", "refine")}
FEATURES, EIGENVECTORS = (600, scenes.CHANNELS), (15, 600)


def usseg(project: Path, stage: str, workers: int) -> float:
    """Seconds of `usseg stage` after its artifact has been removed."""
    shutil.rmtree(project / "artifacts" / stage, ignore_errors=True)
    command = [sys.executable, str(ROOT / "cli.py"), "stage", stage, "--split", "train", "--workers", str(workers)]
    started = time.perf_counter()
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    return time.perf_counter() - started


def write_images(project: Path, images: int) -> None:
    """Scenes as JPEG files, and a checkpoint of a ViT-S/16 with random weights."""
    (project / "images").mkdir()
    for i in range(images):
        Image.fromarray(scenes.scene(i)).save(project / f"images/scene{i:05d}.jpg", quality=92)
    torch.save(scenes.vit_state(16), project / "vit.pth")


def write_params(project: Path, backbone: str) -> None:
    """Write the params of the repository, for these images."""
    content: dict[str, Any] = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    content["index"] |= {"root": ".", "splits": {"train": {"images": "images/*", "labels": None}}, "classes": []}
    content["features"] |= {
        "backbone": backbone,
        "options": {"weights": "vit.pth"} if backbone == "checkpoint" else {"stride": 6},
        "resize": None,
    }
    with (project / "params.yaml").open("w") as stream:
        YAML().dump(content, stream)


def workers(images: int, counts: list[int]) -> None:
    """The table of efficiencies."""
    print(f"{images} images in blocks of {BLOCK}; seconds, and efficiency over one worker\n")
    print(f"| stage | {' | '.join(f'{n} workers' for n in counts)} |")
    print(f"|---|{'---|' * len(counts)}")
    with TemporaryDirectory() as name:
        project = Path(name)
        write_images(project, images)
        for backbone, stages in CHAINS.items():
            write_params(project, backbone)
            usseg(project, "index", 1)
            for stage in stages:
                if stage == "assign":
                    usseg(project, "cluster", 1)
                seconds = {n: usseg(project, stage, n) for n in counts}
                cells = [f"{seconds[n]:.1f}, {seconds[counts[0]] / n / seconds[n]:.2f}" for n in counts]
                label = "ViT-S/16" if backbone == "checkpoint" else backbone
                print(f"| {stage}, {label} | {' | '.join(cells)} |", flush=True)


def tracking(images: int) -> None:
    """Seconds of `dvc add` on features and eigenvectors: ours, and one .pth file an image."""
    features = scenes.features(0, (20, 30))
    eigenvectors = np.ascontiguousarray(features[:, :15].T)
    with TemporaryDirectory() as name:
        project = Path(name)
        for command in (["git", "init", "-q"], ["dvc", "init", "-q"], ["dvc", "config", "core.analytics", "false"]):
            subprocess.run(command, cwd=project, check=True)
        for array, values, dtype in (
            ("patches", features, "float16"),
            ("patches", features, "float32"),
            ("eigenvectors", eigenvectors, "float32"),
        ):
            folders = {"reference": project / "theirs", "usseg": project / "ours"}
            write_both(folders["reference"], folders["usseg"], array, values.astype(dtype), images)
            for side, folder in folders.items():
                files = [path for path in folder.rglob("*") if path.is_file()]
                size = sum(path.stat().st_size for path in files)
                started = time.perf_counter()
                subprocess.run(["dvc", "add", "-q", folder.name], cwd=project, check=True)
                seconds = time.perf_counter() - started
                print(
                    f"| {array}, {dtype}, {images} images | {side} | {len(files)} files "
                    f"| {size / 2**30:.2f} GiB | {seconds:.1f} s |",
                    flush=True,
                )
                shutil.rmtree(folder)
                shutil.rmtree(project / ".dvc/cache", ignore_errors=True)


def write_both(theirs: Path, ours: Path, name: str, values: np.ndarray, images: int) -> None:
    """Write the same values as .pth files and as an artifact. Noise makes the images different."""
    rng = np.random.default_rng(0)
    theirs.mkdir()
    create_arrays(
        ours / name,
        {name: ArraySpec(AXES[name], values.dtype.name, "")},
        {name: values.dtype.name},
        {name: (images, *values.shape)},
    )
    for start in range(0, images, BLOCK):
        count = min(BLOCK, images - start)
        noise = 1 + rng.normal(0, 1e-3, (count, *values.shape)).astype(np.float32)
        block = (values * noise).astype(values.dtype)
        for i, image in enumerate(block, start):
            reference.save(theirs / f"{i}.pth", {"k": torch.from_numpy(image.astype(np.float32)[None]), "id": str(i)})
        write_rows(ours / name, name, slice(start, start + count), block)
    seal(ours / name, {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["workers", "tracking"])
    parser.add_argument("--images", type=int, help="1,024 for workers, 10,000 for tracking")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    options = parser.parse_args()
    if options.what == "workers":
        workers(options.images or 1024, options.workers)
    else:
        tracking(options.images or 10_000)


if __name__ == "__main__":
    main()
