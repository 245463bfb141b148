"""usseg open, as a user starts and ends it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def opened(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process of `usseg open` without a display. It is ended with the block."""
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    command = [sys.executable, "-m", "usseg.cli", "open", *arguments]
    options = {
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment},
        # A test run in the background ignores Ctrl-C, and its children inherit that.
        "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    }
    with subprocess.Popen(command, cwd=folder, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def test_the_page_is_served_until_ctrl_c(finished_project) -> None:
    with opened(finished_project.path) as process:
        address = process.stdout.readline().removeprefix("page: ").strip()
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address, timeout=20) as answer:
            assert answer.read() == (finished_project.path / "report/index.html").read_bytes()
        with urllib.request.urlopen(address.replace("index.html", "api/names"), timeout=20) as answer:
            assert json.load(answer)["names"] == {}
        assert process.stdout.readline() == "Ctrl-C ends it\n"
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=20)
        assert (process.returncode, errors) == (0, "")
        assert out == f"closed; names are in {finished_project.path}/names.yaml\n"


def test_a_page_without_clusters_is_read_only(finished_project) -> None:
    finished_project.set({"refine.source": "segments", "evaluate.method": "partitions"})
    with opened(finished_project.path, "--no-browser") as process:
        line = process.stdout.readline()
        assert line.startswith("the page is read-only: usseg open: refine.source is 'segments': a label means another")
        address = process.stdout.readline().removeprefix("page: ").strip()
        with urllib.request.urlopen(address.replace("index.html", "served.js"), timeout=20) as answer:
            assert answer.read().startswith(b"window.USSEG_SERVED = false;\n")
        with urllib.request.urlopen(address, timeout=20) as answer:
            assert answer.status == 200


def test_a_missing_page_is_one_line(finished_project, usseg) -> None:
    shutil.rmtree(finished_project.path / "report")
    done = usseg(finished_project.path, "open")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"usseg: {finished_project.path}/report/index.html is missing; run: usseg run\n"


def test_a_page_elsewhere_is_one_line(finished_project, usseg, tmp_path: Path) -> None:
    page = finished_project.path / "report/index.html"
    page.rename(tmp_path / "cached")
    page.symlink_to(tmp_path / "cached")
    done = usseg(finished_project.path, "open")
    assert done.returncode == 1
    assert "is a link out of" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("variables", "shown"), [({}, 0), ({"DISPLAY": ":0"}, 1)])
def test_a_browser_is_opened_where_there_is_a_display(
    finished_project, usseg, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], shown: int
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    addresses: list[str] = []
    monkeypatch.setattr("webbrowser.open", addresses.append)

    def interrupted(server: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("usseg.results.page_server.PageServer.serve_forever", interrupted)
    done = usseg(finished_project.path, "open", **variables)
    assert done.returncode == 0, done.stderr
    assert len(addresses) == shown
    assert addresses == [done.stdout.splitlines()[0].removeprefix("page: ")][:shown]
    usseg(finished_project.path, "open", "--no-browser", **variables)
    assert len(addresses) == shown
