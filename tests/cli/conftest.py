"""The command in this process, which takes milliseconds, and in a process of its own, as a user starts it."""

import logging
import os
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from usseg import cli

Command = Callable[..., subprocess.CompletedProcess[str]]
WIDE = {"COLUMNS": "200"}
LIMITED = """
import resource, runpy, sys
size = int(sys.argv.pop(1))
sys.dont_write_bytecode = True  # Python would leave cut-off .pyc files in the environment
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
runpy.run_module("usseg.cli", run_name="__main__", alter_sys=True)
"""


@contextmanager
def logging_of_its_own() -> Iterator[None]:
    """Undo what the command sets for its process: where log lines and Python's warnings go."""
    root = logging.getLogger()
    handlers, level, shown = root.handlers[:], root.level, warnings.formatwarning
    root.handlers.clear()
    try:
        yield
    finally:
        logging.captureWarnings(False)
        warnings.formatwarning = shown
        root.handlers[:] = handlers
        root.setLevel(level)


@pytest.fixture
def usseg() -> Command:
    """Run the command in this process: usseg(folder, "stage", "index", ..., VARIABLE="of the environment").

    It ends as a process does: an exit status, stdout and stderr, with the traceback of an error that nothing catches.
    """

    def run(folder: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        with pytest.MonkeyPatch.context() as patch, logging_of_its_own():
            patch.chdir(folder)
            for name, value in {**WIDE, **env}.items():
                patch.setenv(name, value)
            done = CliRunner().invoke(cli.app, args, prog_name="usseg")
        uncaught = done.exception if not isinstance(done.exception, SystemExit) else None
        errors = done.stderr + "".join(traceback.format_exception(uncaught) if uncaught else ())
        return subprocess.CompletedProcess(args, done.exit_code, done.stdout, errors)

    return run


@pytest.fixture(scope="session")
def usseg_process() -> Command:
    """Run the command in a process of its own, which may write no file that is larger than `largest_file` bytes."""

    def run(folder: Path, *args: str, largest_file: int | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        start = ["-m", "usseg.cli"] if largest_file is None else ["-c", LIMITED, str(largest_file)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **WIDE, **env}
        command = [sys.executable, *start, *args]
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    return run
