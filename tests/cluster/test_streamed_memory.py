"""The stage cluster holds blocks, not all rows: four times the segments or tokens need little more memory."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from usseg.pipeline.arrays import create_arrays, write_rows
from usseg.pipeline.artifact import ArraySpec
from usseg.pipeline.publication import seal
from usseg.stages.cluster.methods import METHODS

FEW, MANY, SEGMENTS, CHANNELS = 5_120, 20_480, 8, 384
OPTIONS = {
    "kmeans": {"n_init": 2, "iterations": 3},
    "ot": {"iterations": 1},
    "abc": {"epochs": 1, "architecture": "identical"},
    "primaps_em": {"init_epochs": 0, "epochs": 1, "batch": 4},
}
ARRAYS = {
    "features": ArraySpec(("image", "segment", "channel"), "float32", ""),
    "area": ArraySpec(("image", "segment"), "float32", ""),
    "num_segments": ArraySpec(("image",), "int32", ""),
}
TOKEN_ARRAYS = {
    "patches": ArraySpec(("image", "token", "channel"), "float32", ""),
    "grid": ArraySpec(("image", "side"), "int32", ""),
}
PROPOSAL_ARRAYS = {"segments": ArraySpec(("image", "token"), "int16", "")}
# The stage in a process of its own; prints the peak of its memory in MiB, files that are mapped included.
RUN = """
import json, resource, sys
from pathlib import Path
from usseg.pipeline.artifact import open_artifact
from usseg.pipeline.execution import Execution
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.project import stage_params
from usseg.stages.cluster.stage import STAGE, run
folder, params = Path(sys.argv[1]), stage_params(STAGE, json.loads(sys.argv[2]))
source = open_artifact(folder / f"{sys.argv[3]}.zarr")
artifacts = {sys.argv[3]: source, "index": {"id": [str(i) for i in range(source.num_images)]}}
if params.method == "primaps_em":
    artifacts["segments"] = open_artifact(folder / "segments.zarr")
found = run(params, Inputs("train", artifacts, {"classes": []}, folder), range(source.num_images), Execution(workers=2))
assert found["counts"].sum() == int(sys.argv[4])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
MEASURE = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:], check=False).returncode)"


def seal_artifact(path: Path, specs: dict[str, ArraySpec], arrays: dict[str, Any], rows: str = "") -> None:
    """Write arrays; array `rows` is of random numbers, of which only the shape is given, (image, row)."""
    shapes = {name: (*values, CHANNELS) if name == rows else values.shape for name, values in arrays.items()}
    create_arrays(path, specs, {name: spec.dtype for name, spec in specs.items()}, shapes)
    images, most = arrays[rows] if rows else next(iter(arrays.values())).shape
    rng, step = np.random.default_rng(0), max(1, 4096 // most)
    for start in range(0, images, step) if rows else ():
        part = slice(start, min(start + step, images))
        write_rows(path, rows, part, rng.random((part.stop - start, most, CHANNELS), np.float32))
    for name, values in arrays.items():
        if name != rows:
            write_rows(path, name, slice(None), values)
    described = {name: {"axes": spec.axes, "dtype": spec.dtype, "doc": ""} for name, spec in specs.items()}
    origin = {"stage": path.stem, "version": 1, "split": "train", "params": {}}
    seal(path, {**origin, "arrays": described, "num_images": images})


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Number of images -> a folder with two artifacts: crops of 63 or 252 MB, and features with as many tokens."""
    folders = {}
    for images in (FEW, MANY):
        folders[images] = tmp_path_factory.mktemp("streamed")
        areas = np.random.default_rng(1).random((images, SEGMENTS), np.float32)
        counts = np.full(images, SEGMENTS, np.int32)
        crops = {"features": (images, SEGMENTS), "area": areas, "num_segments": counts}
        seal_artifact(folders[images] / "crops.zarr", ARRAYS, crops, "features")
        photos = images * SEGMENTS // 256
        tokens = {"patches": (photos, 256), "grid": np.full((photos, 2), 16, np.int32)}
        seal_artifact(folders[images] / "features.zarr", TOKEN_ARRAYS, tokens, "patches")
        proposals = {"segments": np.tile(np.arange(256, dtype=np.int16) // 64, (photos, 1))}
        seal_artifact(folders[images] / "segments.zarr", PROPOSAL_ARRAYS, proposals)
    return folders


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "rows"),
    [*((name, "segments") for name in METHODS if name != "primaps_em"), ("kmeans", "tokens"), ("primaps_em", "tokens")],
)
def test_four_times_the_rows(name: str, rows: str, projects: dict[int, Path]) -> None:
    params = json.dumps({"method": name, "rows": rows, "k": 10, "norm_std": True, "options": OPTIONS[name]})
    source = {"segments": "crops", "tokens": "features"}[rows]
    peaks = {}
    for images, folder in projects.items():
        # By way of a small process, since a child's peak is at least its parent's size when it starts.
        arguments = [str(folder), params, source, str(SEGMENTS * images)]
        command = [sys.executable, "-c", MEASURE, sys.executable, "-c", RUN, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        peaks[images] = int(done.stdout)
    features = (MANY - FEW) * SEGMENTS * CHANNELS * 4 // 2**20
    assert peaks[FEW] > 50
    assert peaks[MANY] - peaks[FEW] < features // 3  # torch's own peak differs by up to 30 MiB from run to run
