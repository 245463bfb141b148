"""The commands `usseg name` and `usseg export`."""

from pathlib import Path
from typing import Annotated

import typer

from usseg.pipeline.terminal import one_line_errors
from usseg.results.command_options import DebugOption, FolderOption, open_project


def name_clusters(
    names: Annotated[list[str] | None, typer.Argument(help="LABEL=NAME, such as 3=grass; 3= removes a name.")] = None,
    project: FolderOption = None,
    debug: DebugOption = False,
) -> None:
    """Name clusters for `usseg export`; equal names are one class. Without arguments: list labels, names and shares."""
    with one_line_errors(debug):
        from usseg.results.names import write_names
        from usseg.results.names_table import names_table
        from usseg.results.tables import show

        if names:
            typer.echo("\n".join(write_names(open_project(project), names)))
        else:
            show(names_table(open_project(project)))


def write_masks(
    formats: Annotated[
        str,
        typer.Option("--format", help="Such as coco,overlay; an unknown one lists all."),
    ],
    split: Annotated[str, typer.Option(help="A split of index.splits, or all.")] = "all",
    out: Annotated[Path, typer.Option(help="The folder of the masks.")] = Path("masks"),
    min_area: Annotated[int, typer.Option(min=0, help="Smaller components, in pixels, become background.")] = 0,
    only: Annotated[str, typer.Option(help="Classes that are kept, separated by commas; default: all.")] = "",
    workers: Annotated[int, typer.Option(envvar="USSEG_WORKERS", min=0, max=1024, help="Threads. 0: a core each.")] = 0,
    project: FolderOption = None,
    debug: DebugOption = False,
) -> None:
    """Write the maps as masks for annotation tools, with the names of `usseg name`."""
    with one_line_errors(debug):
        from usseg.results.export.writing import Request, export_masks

        kept = tuple(part.strip() for part in only.split(",") if part.strip())
        chosen = tuple(part.strip() for part in formats.split(","))
        for line in export_masks(open_project(project), Request(chosen, split, out, min_area, kept, workers)):
            typer.echo(line)


def add_masks_commands(app: typer.Typer) -> None:
    """Add both commands to the command usseg."""
    app.command("name")(name_clusters)
    app.command("export")(write_masks)
