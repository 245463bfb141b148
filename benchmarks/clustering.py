"""`python -m benchmarks.clustering kmeans ot abc`: time the stage `cluster` on 240,128 x 384 features, as of VOC 2012.

It prints the seconds, and the peak of memory above the memory before the run. `--rows 5000000 --folder DIR` writes
7.2 GiB of segment features to a temporary folder in DIR. The stage writes the same amount while it runs.
"""

import argparse
import ctypes
import math
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.scenes import CHANNELS
from benchmarks.sides import memory
from usseg.pipeline.arrays import BLOCK, create_arrays, write_rows
from usseg.pipeline.artifact import ArraySpec, Artifact, open_artifact
from usseg.pipeline.execution import Execution
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.project import stage_params
from usseg.pipeline.publication import seal
from usseg.stages.cluster.stage import STAGE, run

SEGMENTS = 14
ARRAYS = {
    "features": ArraySpec(("image", "segment", "channel"), "float32", ""),
    "area": ArraySpec(("image", "segment"), "float32", ""),
    "num_segments": ArraySpec(("image",), "int32", ""),
}
CASES: dict[str, dict[str, Any]] = {
    "kmeans": {},
    "kmeans, one start": {"n_init": 1},
    "kmeans, cosine": {"metric": "cosine"},
    "ot": {},
    "abc": {"epochs": 1},
}


def crops_artifact(folder: Path, images: int) -> Artifact:
    """Random segment features around 40 means, as the stage `crops` stores them."""
    rng = np.random.default_rng(0)
    means = rng.standard_normal((40, CHANNELS), np.float32)
    shapes = {"features": (images, SEGMENTS, CHANNELS), "area": (images, SEGMENTS), "num_segments": (images,)}
    create_arrays(folder, ARRAYS, {name: spec.dtype for name, spec in ARRAYS.items()}, shapes)
    for start in range(0, images, BLOCK):
        noise = 1.5 * rng.standard_normal((BLOCK, SEGMENTS, CHANNELS), np.float32)
        rows = slice(start, start + BLOCK)
        write_rows(folder, "features", rows, means[rng.integers(40, size=(BLOCK, SEGMENTS))] + noise)
    write_rows(folder, "area", slice(None), rng.random((images, SEGMENTS), np.float32))
    write_rows(folder, "num_segments", slice(None), np.full(images, SEGMENTS, np.int32))
    attrs: Mapping[str, Any] = {"arrays": {name: {"dtype": spec.dtype} for name, spec in ARRAYS.items()}}
    seal(folder, {**attrs, "num_images": images})
    return open_artifact(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="+", choices=CASES)
    parser.add_argument("--rows", type=int, default=240_128, help="segments, rounded up to whole blocks of images")
    parser.add_argument("--workers", type=int, default=1, help="threads")
    parser.add_argument("--folder", type=Path, help="parent of the temporary folder with all artifacts")
    options = parser.parse_args()
    images = math.ceil(options.rows / (SEGMENTS * BLOCK)) * BLOCK
    with TemporaryDirectory(dir=options.folder) as name, threadpool_limits(limits=1):
        folder = Path(name)
        artifact = crops_artifact(folder / "crops.zarr", images)
        for case in options.cases:
            params = stage_params(STAGE, {"method": case.partition(",")[0], "k": 20, "options": CASES[case]})
            ctypes.CDLL(None).malloc_trim(0)
            Path("/proc/self/clear_refs").write_text("5")
            before, started = memory("VmRSS"), time.perf_counter()
            result = run(
                params,
                Inputs("train", {"crops": artifact}, {}, folder),
                range(images),
                Execution(workers=options.workers),
            )
            print(
                f"{case}: {time.perf_counter() - started:.1f} s with {options.workers} threads, "
                f"{memory('VmHWM') - before:.0f} MiB above the process before; {len(result['history'])} steps over all "
                f"{images * SEGMENTS} rows, objective {result['history'][-1]:.5f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
