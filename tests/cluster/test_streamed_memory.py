"""The cluster stage holds blocks, not rows: four times the segments need little more memory."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from usseg.pipeline.artifact import ArraySpec, create_arrays, seal, write_rows
from usseg.stages.cluster.methods import METHODS

FEW, MANY, SEGMENTS, CHANNELS = 5_120, 20_480, 8, 384
OPTIONS = {
    "kmeans": {"n_init": 2, "iterations": 3},
    "ot": {"iterations": 1},
    "abc": {"epochs": 1, "architecture": "identical"},
}
ARRAYS = {
    "features": ArraySpec(("image", "segment", "channel"), "float32", ""),
    "area": ArraySpec(("image", "segment"), "float32", ""),
    "num_segments": ArraySpec(("image",), "int32", ""),
}
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
crops = open_artifact(folder / "crops.zarr")
found = run(params, Inputs("train", {"crops": crops}, {"classes": []}, folder), range(crops.num_images), Execution(workers=2))
assert found["counts"].sum() == 8 * crops.num_images
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
MEASURE = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:], check=False).returncode)"


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Number of images -> a folder with a crops artifact of so many, 63 and 252 MB."""
    folders = {}
    for images in (FEW, MANY):
        folders[images] = tmp_path_factory.mktemp("streamed")
        crops, rng = folders[images] / "crops.zarr", np.random.default_rng(0)
        shapes = {"features": (images, SEGMENTS, CHANNELS), "area": (images, SEGMENTS), "num_segments": (images,)}
        create_arrays(crops, ARRAYS, {name: spec.dtype for name, spec in ARRAYS.items()}, shapes)
        for start in range(0, images, 512):
            write_rows(crops, "features", slice(start, start + 512), rng.random((512, SEGMENTS, CHANNELS), np.float32))
        write_rows(crops, "area", slice(None), rng.random((images, SEGMENTS), np.float32))
        write_rows(crops, "num_segments", slice(None), np.full(images, SEGMENTS, np.int32))
        arrays = {name: {"axes": spec.axes, "dtype": spec.dtype, "doc": ""} for name, spec in ARRAYS.items()}
        origin = {"stage": "crops", "version": 1, "split": "train", "params": {}}
        seal(crops, {**origin, "arrays": arrays, "num_images": images})
    return folders


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_four_times_the_segments(name: str, projects: dict[int, Path]) -> None:
    params = json.dumps({"method": name, "k": 10, "norm_std": True, "options": OPTIONS[name]})
    peaks = {}
    for images, folder in projects.items():
        # By way of a small process, since a child's peak is at least its parent's size when it starts.
        command = [sys.executable, "-c", MEASURE, sys.executable, "-c", RUN, str(folder), params]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        peaks[images] = int(done.stdout)
    features = (MANY - FEW) * SEGMENTS * CHANNELS * 4 // 2**20
    assert peaks[FEW] > 50
    assert peaks[MANY] - peaks[FEW] < features // 4
