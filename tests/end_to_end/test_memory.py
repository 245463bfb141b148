"""The peak memory of a stage is bounded by its blocks and workers, not by how many images there are."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stages import STAGES

FEW, MANY = 200, 2000
SIZES = [(40, 64), (48, 48)]
# Enough bytes an image that reading a whole split at once would be seen.
HEAVIER = {"features.stride": 4, "eigen.k": 10}
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
) -> dict[int, dict[str, int]]:
    """Number of images -> stage -> peak resident memory of one worker."""
    found: dict[int, dict[str, int]] = {}
    for count in (FEW, MANY):
        project = draw_project(tmp_path_factory.mktemp("memory") / "p", count, SIZES, HEAVIER)
        found[count] = {}
        for stage in STAGES.values():
            split = [] if stage.scope == "all" else ["--split", "train"]
            usseg = ["usseg", "stage", stage.name, *split, "--workers", "1"]
            found[count][stage.name] = int(command(project, sys.executable, "-c", PEAK, *usseg).stdout)
    return found


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "index"])  # it holds the list of files
def test_ten_times_the_images_need_no_more_memory(stage: str, peaks: dict[int, dict[str, int]]) -> None:
    assert peaks[MANY][stage] <= 1.1 * peaks[FEW][stage]
    assert peaks[FEW][stage] > 1000
