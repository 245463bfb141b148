"""`python -m benchmarks.clustering kmeans`: the cluster stage on as many segments as VOC 2012 has, 240,128 x 384.

Prints seconds and the highest memory above that of the process before, of which the features themselves are 352 MiB.
"""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.__main__ import memory
from benchmarks.scenes import CHANNELS
from pipeline.artifact import BLOCK, ArraySpec, Artifact, create_arrays, open_artifact, seal, write_rows
from pipeline.stage import Execution, Inputs
from stages.cluster.stage import ClusterParams, run

IMAGES, SEGMENTS = 17_152, 14
ARRAYS = {
    "features": ArraySpec(("image", "segment", "channel"), "float32", ""),
    "area": ArraySpec(("image", "segment"), "float32", ""),
    "num_segments": ArraySpec(("image",), "int32", ""),
}


def crops_artifact(folder: Path) -> Artifact:
    """Segment features around 40 means, as the crops stage stores them."""
    rng = np.random.default_rng(0)
    means = rng.standard_normal((40, CHANNELS), np.float32)
    shapes = {"features": (IMAGES, SEGMENTS, CHANNELS), "area": (IMAGES, SEGMENTS), "num_segments": (IMAGES,)}
    create_arrays(folder, ARRAYS, {name: spec.dtype for name, spec in ARRAYS.items()}, shapes)
    for start in range(0, IMAGES, BLOCK):
        noise = 1.5 * rng.standard_normal((BLOCK, SEGMENTS, CHANNELS), np.float32)
        rows = slice(start, start + BLOCK)
        write_rows(folder, "features", rows, means[rng.integers(40, size=(BLOCK, SEGMENTS))] + noise)
    write_rows(folder, "area", slice(None), rng.random((IMAGES, SEGMENTS), np.float32))
    write_rows(folder, "num_segments", slice(None), np.full(IMAGES, SEGMENTS, np.int32))
    attrs: Mapping[str, Any] = {"arrays": {name: {"dtype": spec.dtype} for name, spec in ARRAYS.items()}}
    seal(folder, {**attrs, "num_images": IMAGES})
    return open_artifact(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("method", choices=["kmeans", "ot", "abc"])
    parser.add_argument("--epochs", type=int, default=1, help="of abc; 500 in the report")
    options = parser.parse_args()
    params = ClusterParams(
        method=options.method, k=20, options={"epochs": options.epochs} if options.method == "abc" else {}
    )
    with TemporaryDirectory() as name:
        folder = Path(name)
        artifact = crops_artifact(folder / "crops.zarr")
        with threadpool_limits(limits=1):
            before, started = memory("VmRSS"), time.perf_counter()
            run(params, Inputs("train", {"crops": artifact}, {}, folder), range(IMAGES), Execution(folder))
        seconds = time.perf_counter() - started
    print(
        f"{options.method}: {seconds:.1f} s with one thread, {memory('VmHWM') - before:.0f} MiB above the process before"
    )


if __name__ == "__main__":
    main()
