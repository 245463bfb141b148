"""The command `usseg compare`."""

from typing import Annotated

import typer

from usseg.pipeline.terminal import one_line_errors
from usseg.results.command_options import (
    BatchOption,
    DebugOption,
    DeviceOption,
    FolderOption,
    SchedulerOption,
    WorkersOption,
    open_project,
)


def compare(
    segments: Annotated[str, typer.Option(help="Values of segments.method, separated by commas.")],
    cluster: Annotated[str, typer.Option(help="Values of cluster.method, separated by commas.")],
    split: Annotated[str, typer.Option(help="The split to compare on.")] = "val",
    seeds: Annotated[str, typer.Option(help="Such as 0-4 or 0,3,7: one run of each pair with every seed.")] = "",
    formats: Annotated[str, typer.Option("--format", help="Tables that are written.")] = "csv,md,latex",
    device: DeviceOption = "auto",
    batch_size: BatchOption = 8,
    workers: WorkersOption = 0,
    scheduler: SchedulerOption = None,
    project: FolderOption = None,
    debug: DebugOption = False,
) -> None:
    """Run every pair of methods with the same features. Print the scores; write comparison/index.html and tables."""
    with one_line_errors(debug):
        from usseg.pipeline.machine import execution_of
        from usseg.results.comparison import Request, compare_methods
        from usseg.results.tables import show

        execution = execution_of(device, batch_size, workers, scheduler)
        request = Request(segments, cluster, split, seeds, formats)
        for found in compare_methods(open_project(project), request, execution):
            if isinstance(found, str):
                typer.echo(found)
            else:
                show([found])


def add_choice_commands(app: typer.Typer) -> None:
    """Add the command to the command usseg."""
    app.command("compare")(compare)
