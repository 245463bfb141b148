"""Options that several commands have, and the project folder that they name."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from usseg.pipeline.project import Project

FolderOption = Annotated[Path | None, typer.Option("--project", help="Folder of params.yaml; default: here or above.")]
DeviceOption = Annotated[str, typer.Option(envvar="USSEG_DEVICE", help="auto, cpu, cuda or cuda:N.")]
BatchOption = Annotated[int, typer.Option(envvar="USSEG_BATCH_SIZE", min=1, max=65536, help="Images of a batch.")]
WORKERS = "Number of processes. 0: one for each core; 1 for a stage that runs on a GPU."
WorkersOption = Annotated[int, typer.Option(envvar="USSEG_WORKERS", min=0, max=1024, help=WORKERS)]
SchedulerOption = Annotated[str | None, typer.Option(envvar="USSEG_SCHEDULER", help="Dask cluster: tcp://...")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def folder_of(project: Path | None) -> Path:
    """The given project folder, or the nearest one from the working directory upwards."""
    from usseg.pipeline.project import find_root

    return find_root(Path()) if project is None else project.resolve()


def open_project(project: Path | None) -> "Project":
    """Open the project of a command and check all of its params."""
    from usseg.pipeline.project import Project
    from usseg.stages import STAGES

    return Project.open(STAGES, folder_of(project))
