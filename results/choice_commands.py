"""The commands `usseg compare` and `usseg clusters`."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from rich.table import Table


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

        execution = execution_of(device, batch_size, workers, scheduler)
        request = Request(segments, cluster, split, seeds, formats)
        print_all(compare_methods(open_project(project), request, execution))


def clusters(
    numbers: Annotated[str, typer.Option("--k", help="Numbers of clusters that are judged: 2-20 or 4,8,16.")] = "2-20",
    most_rows: Annotated[
        int, typer.Option("--max-rows", min=4, max=20_000, help="Of more segments, or tokens, a sample is judged.")
    ] = 4000,
    device: DeviceOption = "auto",
    batch_size: BatchOption = 8,
    workers: WorkersOption = 0,
    scheduler: SchedulerOption = None,
    project: FolderOption = None,
    debug: DebugOption = False,
) -> None:
    """How many clusters? Silhouette, Davies-Bouldin index and stability of each number; no label is used."""
    with one_line_errors(debug):
        from usseg.pipeline.machine import execution_of
        from usseg.pipeline.progress import progress_bar
        from usseg.results.cluster_choice import judge_numbers

        execution = execution_of(device, batch_size, workers, scheduler)
        print_all(judge_numbers(open_project(project), numbers, most_rows, execution, progress_bar))


def print_all(found: "Iterable[str | Table]") -> None:
    """Print lines and tables as they come."""
    from usseg.results.tables import show

    for one in found:
        if isinstance(one, str):
            typer.echo(one)
        else:
            show([one])


def add_choice_commands(app: typer.Typer) -> None:
    """Add both commands to the command usseg."""
    app.command("compare")(compare)
    app.command("clusters")(clusters)
