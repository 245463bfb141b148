import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]
LIMITED = """
import resource, runpy, sys
size = int(sys.argv.pop(1))
sys.dont_write_bytecode = True  # Python would leave cut-off .pyc files in the environment
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
runpy.run_module("usseg.cli", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="session")
def usseg() -> Command:
    """Run the real command in a folder: usseg(folder, "stage", "index", ..., VARIABLE="of the environment")."""

    def run(folder: Path, *args: str, largest_file: int | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        start = ["-m", "usseg.cli"] if largest_file is None else ["-c", LIMITED, str(largest_file)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", **env}
        command = [sys.executable, *start, *args]
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    return run
