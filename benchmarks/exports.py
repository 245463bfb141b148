"""`python -m benchmarks.exports`: seconds and peak memory of `usseg export`, for each format.

Beside them: the time to read and write the same pixels, by a plain loop that decodes each photo and writes its map as a
PNG file. Each side has a process of its own with as many threads. The start of Python is in neither time.
"""

import argparse
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from benchmarks import scenes
from usseg.pipeline.artifact import open_artifact
from usseg.pipeline.project import Project
from usseg.results.export import FORMATS
from usseg.results.export.writing import Request, export_masks
from usseg.results.init import Choices, init_project
from usseg.stages import STAGES

ROOT = Path(__file__).resolve().parents[1]
CHAIN = ("index", "features", "eigen", "segments", "crops", "cluster", "assign", "refine")


def write_photos(folder: Path, images: int, size: tuple[int, int]) -> None:
    """Scenes as JPEG files of `size`, width and height."""
    folder.mkdir()
    for i in range(images):
        scene = Image.fromarray(scenes.scene(i)).resize(size, Image.Resampling.BICUBIC)
        scene.save(folder / f"scene{i:05d}.jpg", quality=92)


def peak_mib() -> float:
    """The peak memory of this process, MiB."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def plain(project: Path, out: Path, workers: int) -> None:
    """Decode each photo and write its map as a PNG file. The maps are in memory before."""
    index, refine = (open_artifact(project / f"artifacts/{name}/train.zarr") for name in ("index", "refine"))
    paths = [project.parent / "photos" / path for path in index["path"]]
    maps = [refine["maps"][i].astype(np.uint8) for i in range(len(paths))]
    out.mkdir()

    def both(i: int) -> None:
        with Image.open(paths[i]) as photo:
            photo.convert("RGB")
        Image.fromarray(maps[i]).save(out / f"{i}.png")

    started = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(both, range(len(paths))))
    print(json.dumps({"seconds": time.perf_counter() - started, "MiB": peak_mib()}))


def export(project: Path, name: str, out: Path, workers: int) -> None:
    """Write one format, and the manifest."""
    opened = Project.open(STAGES, project)
    started, resting = time.perf_counter(), peak_mib()
    for _ in export_masks(opened, Request((name,), out=out, workers=workers)):
        pass
    print(json.dumps({"seconds": time.perf_counter() - started, "MiB": peak_mib(), "above": peak_mib() - resting}))


def measured(*arguments: str) -> dict[str, float]:
    """Run one side in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.exports", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def table(images: int, size: tuple[int, int], workers: int) -> None:
    """Make a project, and print the table. The plain loop runs before and after each format; its mean counts."""
    from benchmarks import machine  # it imports torch, which the export does not

    with TemporaryDirectory() as name:
        folder = Path(name)
        write_photos(folder / "photos", images, size)
        project = folder / "project"
        init_project(project, folder / "photos", Choices(backbone="lowlevel", clusters=8))
        for stage in CHAIN:
            command = [sys.executable, "-m", "usseg.cli", "stage", stage, "--split", "train", "--workers", str(workers)]
            subprocess.run(command, cwd=project, check=True, capture_output=True)
        shared = (str(project), str(workers))
        print(f"Machine: {machine.description()}.")
        print(f"{images} photos of {size[0]} x {size[1]}, {workers} threads, 8 clusters.\n")
        print("| written | plain loop, s | usseg, s | ratio | peak MiB | of these, above the resting process |")
        print("|---|---|---|---|---|---|")
        before = measured("--plain", str(folder / "plain"), *shared)
        for number, one in enumerate(FORMATS):
            found = measured("--export", one, str(folder / one), *shared)
            after = measured("--plain", str(folder / f"plain{number}"), *shared)
            floor = (before["seconds"] + after["seconds"]) / 2
            cells = [f"{floor:.1f}", f"{found['seconds']:.1f}", f"{found['seconds'] / floor:.2f}"]
            print(f"| `{one}` | {' | '.join(cells)} | {found['MiB']:.0f} | {found['above']:.0f} |", flush=True)
            before = after


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--size", type=int, nargs=2, default=(1024, 768), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--plain", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--export", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.plain:
        out, project, workers = given.plain
        plain(Path(project), Path(out), int(workers))
    elif given.export:
        name, out, project, workers = given.export
        export(Path(project), name, Path(out), int(workers))
    else:
        table(given.images, tuple(given.size), given.workers)


if __name__ == "__main__":
    main()
