"""The peak memory of a stage depends on blocks and workers, not on the number of images or the largest image."""

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from usseg.pipeline.artifact import artifact_path, open_artifact
from usseg.pipeline.project import Project
from usseg.pipeline.runner import run_stage
from usseg.stages import STAGES

FEW, MANY = 100, 1000
SIZES = [(40, 64), (48, 48)]
# Enough bytes an image that reading a whole split at once would be seen. An epoch holds as much as six.
HEAVIER = {
    "features.options.stride": 4,
    "eigen.k": 10,
    "segmenter.options": {"epochs": 1, "prototypes": 3, "updates": 1},
}
# A process of its own, because a child's peak is at least its parent's size when it starts.
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.fixture(scope="module")
def peaks(
    tmp_path_factory: pytest.TempPathFactory,
    draw_project: Callable[..., Path],
    command: Callable[..., subprocess.CompletedProcess[str]],
    edit: Callable[..., None],
) -> dict[int, dict[str, int]]:
    """Number of images -> stage -> peak resident memory of one worker."""
    found: dict[int, dict[str, int]] = {}
    for count in (FEW, MANY):
        project = draw_project(tmp_path_factory.mktemp("memory") / "p", count, SIZES, HEAVIER)
        found[count] = {}
        for stage in sorted(STAGES.values(), key=lambda stage: stage.name == "segmenter"):
            if stage.name == "segmenter":
                edit(project, {"segments.method": "acg"})  # which asks for it
            split = [] if stage.scope == "all" else ["--split", "train"]
            usseg = ["usseg", "stage", stage.name, *split, "--workers", "1"]
            found[count][stage.name] = int(command(project, sys.executable, "-c", PEAK, *usseg).stdout)
    return found


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "index"])  # it holds the list of files
def test_ten_times_the_images_need_no_more_memory(stage: str, peaks: dict[int, dict[str, int]]) -> None:
    assert peaks[MANY][stage] <= 1.1 * peaks[FEW][stage]
    assert peaks[FEW][stage] > 1000


LARGE = (2000, 3000)
BYTES_A_PIXEL = 40  # some arrays of the one image at once, and never 33 of its size


@pytest.fixture(scope="module")
def with_one_large(
    tmp_path_factory: pytest.TempPathFactory, draw_project: Callable[..., Path], edit: Callable[..., None]
) -> Path:
    """32 small images with a large one among them; nothing has been run."""
    project = draw_project(tmp_path_factory.mktemp("large") / "p", 32, [(40, 64), (48, 48)])
    rows, columns = (np.arange(side) * small // side for side, small in zip(LARGE, (40, 60), strict=True))
    for kind in ("images", "labels"):
        small = np.asarray(Image.open(project / f"data/{kind}/photo0000.png"))
        Image.fromarray(small[np.ix_(rows, columns)]).save(project / f"data/{kind}/photo0007b.png", compress_level=1)
    edit(project, {"features.resize": 64, "features.options.stride": 8})
    return project


def allocated(project: Path, stage: str) -> int:
    """Run a stage and say how many bytes it held at most."""
    tracemalloc.start()
    run_stage(Project.open(STAGES, project), stage, "train")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.fixture(scope="module")
def refined(with_one_large: Path) -> dict[str, int]:
    """Stage -> peak, of those that hold pixels."""
    found = {}
    for name in ("index", "features", "eigen", "segments", "crops", "cluster", "assign", "refine", "evaluate"):
        if name in ("features", "refine", "evaluate"):
            found[name] = allocated(with_one_large, name)
        else:
            run_stage(Project.open(STAGES, with_one_large), name, "train")
    return found


@pytest.mark.parametrize("stage", ["features", "refine", "evaluate"])
def test_a_large_image_among_small_ones_needs_its_own_memory_only(stage: str, refined: dict[str, int]) -> None:
    assert refined[stage] < BYTES_A_PIXEL * LARGE[0] * LARGE[1]


def test_every_map_has_its_own_size(refined: dict[str, int], with_one_large: Path) -> None:
    maps = open_artifact(artifact_path(with_one_large, "refine", "train"))["maps"]
    assert len(maps) == 33
    assert sorted({found.shape for found in maps}) == [(40, 64), (48, 48), LARGE]


def test_tokens_of_a_large_image_are_in_no_other_images_memory(
    refined: dict[str, int], with_one_large: Path, edit: Callable[..., None]
) -> None:
    """At native size it has a thousand times the tokens of a small one."""
    edit(with_one_large, {"features.resize": None, "features.options.stride": 4})
    own = 4 * 46 * (LARGE[0] // 4) * (LARGE[1] // 4)
    assert allocated(with_one_large, "features") < 33 * own / 2
