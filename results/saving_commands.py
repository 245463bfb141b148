"""The commands `usseg save` and `usseg apply`."""

from pathlib import Path
from typing import Annotated

import typer

from usseg.pipeline.terminal import one_line_errors, printable
from usseg.results.command_options import (
    BatchOption,
    DebugOption,
    DeviceOption,
    FolderOption,
    WorkersOption,
    open_project,
)


def save(
    file: Annotated[Path, typer.Argument(help="The new file, such as meadow.usseg.")],
    project: FolderOption = None,
    debug: DebugOption = False,
) -> None:
    """Write the finished project into one file for `usseg apply`: params, fitted artifacts, names; no photos."""
    with one_line_errors(debug):
        from usseg.results.save import save_project

        for line in save_project(open_project(project), file):
            typer.echo(printable(line))


def apply(
    file: Annotated[Path, typer.Argument(help="A file of `usseg save`.")],
    photos: Annotated[Path, typer.Argument(help="The folder of the new photos; every photo below it is taken.")],
    formats: Annotated[str, typer.Option("--format", help="As of `usseg export`.")],
    out: Annotated[Path, typer.Option(help="The folder of the masks.")] = Path("masks-new"),
    min_area: Annotated[int, typer.Option(min=0, help="Smaller components, in pixels, become background.")] = 0,
    only: Annotated[str, typer.Option(help="Classes that are kept, separated by commas; default: all.")] = "",
    weights: Annotated[Path | None, typer.Option(help="The file of the weights; default: as params name it.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the working folder OUT/.usseg-apply.")] = False,
    device: DeviceOption = "auto",
    batch_size: BatchOption = 8,
    workers: WorkersOption = 0,
    debug: DebugOption = False,
) -> None:
    """Segment new photos with a saved project, and write masks. Nothing is fitted again; no project is needed."""
    with one_line_errors(debug):
        from usseg.pipeline.machine import execution_of
        from usseg.pipeline.progress import progress_bar
        from usseg.results.apply import Application, apply_project
        from usseg.results.export.writing import Request

        kept = tuple(part.strip() for part in only.split(",") if part.strip())
        chosen = tuple(part.strip() for part in formats.split(","))
        request = Request(chosen, out=out, min_area=min_area, only=kept, workers=workers)
        execution = execution_of(device, batch_size, workers, None)
        for line in apply_project(Application(file, photos, request, weights, keep), execution, display=progress_bar):
            typer.echo(printable(line))


def add_saving_commands(app: typer.Typer) -> None:
    """Add both commands to the command usseg."""
    app.command("save")(save)
    app.command("apply")(apply)
