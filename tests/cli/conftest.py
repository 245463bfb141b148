import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def usseg() -> Command:
    """Run the real command in a folder: usseg(folder, "stage", "index", ..., variable="of the environment")."""

    def run(folder: Path, *args: str, preexec_fn: Any = None, **env: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cli", *args]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", **env}
        return subprocess.run(
            command, cwd=folder, env=environment, preexec_fn=preexec_fn, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip

    return run
