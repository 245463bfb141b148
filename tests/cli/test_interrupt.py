"""Ctrl-C: one line says that the same command continues."""

import pytest
from typer.testing import CliRunner

from usseg import cli
from usseg.pipeline import progress, runner


def test_an_interrupted_run_says_that_it_continues(tiny_project, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run_stage", interrupted)
    done = CliRunner().invoke(cli.app, ["stage", "index", "--split", "train", "--project", str(tiny_project.path)])
    assert done.exit_code == 130
    assert done.output.strip().splitlines()[-1] == "usseg: interrupted; the same command continues where it stopped"


def test_lines_of_progress_have_the_elapsed_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1)
    with caplog.at_level("INFO", "usseg"), progress.progress_bar("eigen@val") as update:
        update(3, 12)
    assert caplog.messages == ["eigen@val: 3 of 12, after 0 s"]
