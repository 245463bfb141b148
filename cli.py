"""The command usseg: parse arguments, call functions, print errors on one line."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from usseg.pipeline.terminal import one_line_errors, printable
from usseg.results.choice_commands import add_choice_commands
from usseg.results.command_options import (
    BatchOption,
    DebugOption,
    DeviceOption,
    FolderOption,
    SchedulerOption,
    WorkersOption,
    folder_of,
    open_project,
)
from usseg.results.masks_commands import add_masks_commands
from usseg.results.page_commands import add_page_commands
from usseg.results.saving_commands import add_saving_commands
from usseg.results.settings_commands import dataset_app, recipe_app

if TYPE_CHECKING:
    from usseg.pipeline.stage import Stage


def say_version(wanted: bool) -> None:
    """Print the installed version and exit."""
    if wanted:
        from importlib.metadata import version

        typer.echo(f"usseg {version('usseg')}")
        raise typer.Exit


class StageGroup(TyperGroup):
    """The commands of the stages. Stages are imported when a command is requested: `usseg --help` stays fast."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the stages, in order."""
        self.add_stages()
        return super().list_commands(ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command with the name in the arguments."""
        self.add_stages()
        return super().resolve_command(ctx, args)

    def add_stages(self) -> None:
        """Import the stages and add a command for each. The former name of a stage is a hidden command."""
        from usseg.stages import STAGES

        for name, stage in STAGES.items():
            for known in (name, stage.formerly) if stage.formerly else (name,):
                single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
                single.command(known, help=stage.summary, hidden=known != name)(stage_command(stage))
                self.commands[known] = typer.main.get_command(single)


app = typer.Typer(name="usseg", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
stage_app = typer.Typer(cls=StageGroup, help="Run one stage for one split.", no_args_is_help=True)
app.add_typer(stage_app, name="stage")
app.add_typer(recipe_app, name="recipe")
app.add_typer(dataset_app, name="dataset")

ClustersOption = Annotated[int | None, typer.Option(min=1, help="Number of clusters: cluster.k of params.yaml.")]
VersionOption = Annotated[bool, typer.Option("--version", callback=say_version, is_eager=True, help="Print version.")]


@app.callback()
def usseg(version: VersionOption = False) -> None:
    """First: `usseg init NAME IMAGES`, then `cd NAME && usseg run`.

    Unlabelled images -> semantic segmentations, stage by stage.
    """


def stage_command(stage: "Stage") -> Callable[..., None]:
    """The command of one stage. All stages have the same options."""
    default_split: Any = ... if stage.scope == "each" else ""

    def command(
        split: Annotated[str, typer.Option("--split", help="A split of index.splits.")] = default_split,
        device: DeviceOption = "auto",
        batch_size: BatchOption = 8,
        workers: WorkersOption = 0,
        scheduler: SchedulerOption = None,
        if_needed: Annotated[bool, typer.Option("--if-needed", hidden=True)] = False,  # always on
        project: FolderOption = None,
        debug: DebugOption = False,
    ) -> None:
        from usseg.pipeline.machine import execution_of
        from usseg.pipeline.plan import link_code
        from usseg.pipeline.progress import progress_bar
        from usseg.pipeline.runner import run_stage

        with one_line_errors(debug):
            opened = open_project(project)
            link_code(opened.root)
            execution = execution_of(device, batch_size, workers, scheduler, stage=stage)
            named = split or opened.splits_of(stage.name)[0]
            with progress_bar(f"{stage.name}@{named}") as progress:
                run_stage(opened, stage.name, named, replace(execution, progress=progress))

    command.__doc__ = stage.summary
    return command


@stage_app.callback()
def stages_of_the_pipeline() -> None:
    """Run one stage for one split."""


@app.command()
def init(
    name: Annotated[Path, typer.Argument(help="The new project folder.")],
    images: Annotated[Path, typer.Argument(help="The folder of the images; every image below it is taken.")],
    labels: Annotated[Path | None, typer.Option(help="Folder or file of the ground truth; only for scores.")] = None,
    classes: Annotated[str, typer.Option(help="Names of the label values 0, 1, ..., separated by commas.")] = "",
    backbone: Annotated[str, typer.Option(help="auto, lowlevel, or the name of a network of timm.")] = "auto",
    recipe: Annotated[str, typer.Option(help="A name of `usseg recipe list`.")] = "",
    layout: Annotated[str, typer.Option(help="A name of `usseg dataset list`, if IMAGES is such a dataset.")] = "",
    clusters: ClustersOption = None,
    debug: DebugOption = False,
) -> None:
    """Make a project: a folder with params.yaml and dvc.yaml. The images stay where they are."""
    from usseg.results.init import Choices, init_project

    with one_line_errors(debug):
        names = [one.strip() for one in classes.split(",")] if classes else []
        choices = Choices(labels, names, backbone, recipe, layout, clusters)
        for line in init_project(name, images, choices):
            typer.echo(printable(line))  # names of files may hold control characters


@app.command()
def run(
    clusters: ClustersOption = None,
    device: DeviceOption = "auto",
    batch_size: BatchOption = 8,
    workers: WorkersOption = 0,
    scheduler: SchedulerOption = None,
    project: FolderOption = None,
    debug: DebugOption = False,
) -> None:
    """Run the whole chain in one process. The result is the same as of `dvc repro`, with dvc.lock."""
    from usseg.pipeline.chain import run_project
    from usseg.pipeline.machine import execution_of
    from usseg.pipeline.progress import progress_bar
    from usseg.results.next_step import after_run
    from usseg.results.params_file import set_clusters
    from usseg.results.saved_names import refresh_names_script

    with one_line_errors(debug):
        if clusters is not None:
            typer.echo(set_clusters(folder_of(project), clusters))
        opened = open_project(project)
        run_project(opened, execution_of(device, batch_size, workers, scheduler), display=progress_bar)
        for line in refresh_names_script(opened.root):
            typer.echo(printable(line))
        typer.echo(f"report: {opened.root / 'report/index.html'}")
        typer.echo(f"next: {after_run(opened)}")


add_page_commands(app)  # the help lists them here
add_masks_commands(app)
add_saving_commands(app)


@app.command()
def plan(project: FolderOption = None, debug: DebugOption = False) -> None:
    """Write the plan of each stage below artifacts/plan; DVC re-runs a stage when its plan changes."""
    from usseg.pipeline.plan import link_code, write_plans

    with one_line_errors(debug):
        opened = open_project(project)
        link_code(opened.root)
        write_plans(opened)


@app.command()
def params(
    stage: Annotated[str, typer.Argument(help="One section only.")] = "",
    project: FolderOption = None,
    debug: DebugOption = False,
) -> None:
    """Show every param of the project: its value, whether params.yaml sets it, and its meaning."""
    from usseg.results.tables import params_tables, show

    with one_line_errors(debug):
        show(params_tables(open_project(project), stage))


@app.command()
def methods(stage: Annotated[str, typer.Argument(help="One stage only.")] = "", debug: DebugOption = False) -> None:
    """List the methods of every stage, including those of installed packages."""
    from usseg.results.tables import methods_tables, show
    from usseg.stages import STAGES

    with one_line_errors(debug):
        show(methods_tables(STAGES, stage))


@app.command()
def scores(project: FolderOption = None, debug: DebugOption = False) -> None:
    """Show the scores of every evaluated split, one column for each split."""
    from usseg.results.tables import scores_table, show

    with one_line_errors(debug):
        opened = open_project(project)
        show([scores_table(opened.root, opened.splits)])


add_choice_commands(app)  # the help lists them here


@app.command()
def describe(path: Path, debug: DebugOption = False) -> None:
    """Show the content of an artifact: its arrays, their axes and units, and its params."""
    from usseg.pipeline.artifact import open_artifact
    from usseg.results.tables import print_artifact

    with one_line_errors(debug):
        print_artifact(open_artifact(path))


@app.command()
def doctor(project: FolderOption = None, debug: DebugOption = False) -> None:
    """Show what this machine can do and what is missing."""
    with one_line_errors(debug):
        from usseg.results.doctor import findings
        from usseg.stages import STAGES

        for name, finding in findings(STAGES, folder_of(project)):
            typer.echo(f"{name:<15} {finding}")


if __name__ == "__main__":
    app()
