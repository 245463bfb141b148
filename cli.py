"""The command usseg: parse arguments, call functions, print errors on one line."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from usseg.pipeline.terminal import one_line_errors

if TYPE_CHECKING:
    from usseg.pipeline.project import Project
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
recipe_app = typer.Typer(help="Write published settings into params.yaml.", no_args_is_help=True)
dataset_app = typer.Typer(help="Public datasets as they are distributed.", no_args_is_help=True)
app.add_typer(stage_app, name="stage")
app.add_typer(recipe_app, name="recipe")
app.add_typer(dataset_app, name="dataset")

FolderOption = Annotated[Path | None, typer.Option("--project", help="Folder of params.yaml; default: here or above.")]
LayoutOption = Annotated[str, typer.Option(help="A name of `usseg dataset list`.")]
DeviceOption = Annotated[str, typer.Option(envvar="USSEG_DEVICE", help="auto, cpu, cuda or cuda:N.")]
BatchOption = Annotated[int, typer.Option(envvar="USSEG_BATCH_SIZE", min=1, max=65536, help="Images of a batch.")]
WORKERS = "Number of processes. 0: one for each core; 1 for a stage that runs on a GPU."
WorkersOption = Annotated[int, typer.Option(envvar="USSEG_WORKERS", min=0, max=1024, help=WORKERS)]
SchedulerOption = Annotated[str | None, typer.Option(envvar="USSEG_SCHEDULER", help="Dask cluster: tcp://...")]
VersionOption = Annotated[bool, typer.Option("--version", callback=say_version, is_eager=True, help="Print version.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@app.callback()
def usseg(version: VersionOption = False) -> None:
    """Unlabelled images -> semantic segmentations, stage by stage."""


def folder_of(project: Path | None) -> Path:
    """The given project folder, or the nearest one from the working directory upwards."""
    from usseg.pipeline.project import find_root

    return find_root(Path()) if project is None else project.resolve()


def open_project(project: Path | None) -> "Project":
    """Open the project and check all of its params."""
    from usseg.pipeline.project import Project
    from usseg.stages import STAGES

    return Project.open(STAGES, folder_of(project))


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
def run(
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

    with one_line_errors(debug):
        opened = open_project(project)
        run_project(opened, execution_of(device, batch_size, workers, scheduler), display=progress_bar)
        typer.echo(f"report: {opened.root / 'report/index.html'}")


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


@recipe_app.command("list")
def recipe_list() -> None:
    """List the recipes, one line for each."""
    from usseg.results.recipes import RECIPES

    width = max(map(len, RECIPES))
    for recipe in RECIPES.values():
        typer.echo(f"{recipe.name:<{width}} {recipe.summary}")


@recipe_app.command("apply")
def recipe_apply(
    name: str,
    root: Annotated[str | None, typer.Option(help="The folder of the images: the value of index.root.")] = None,
    project: FolderOption = None,
    debug: DebugOption = False,
) -> None:
    """Write a recipe into params.yaml.

    Kept are comments, seeds, paths of weights, and the sections index and report.
    """
    from usseg.results.params_file import check_params
    from usseg.results.recipes import apply_recipe
    from usseg.stages import STAGES

    with one_line_errors(debug):
        for change in apply_recipe(STAGES, folder_of(project), name, root=root, check=check_params):
            typer.echo(change)


@dataset_app.command("list")
def dataset_list() -> None:
    """List the known datasets, one line for each."""
    from usseg.results.datasets import SUMMARIES

    for name, summary in SUMMARIES.items():
        typer.echo(f"{name:<16} {summary}")


@dataset_app.command("check")
def dataset_check(folder: Path, layout: LayoutOption, debug: DebugOption = False) -> None:
    """Show which files of a dataset are in a folder. Exit with 1 if some are missing."""
    from usseg.results.datasets import find_layout
    from usseg.results.datasets.layouts import check

    with one_line_errors(debug):
        checks = list(check(find_layout(layout, folder), folder))
        typer.echo("\n".join(line for line, _ in checks))
        if not all(complete for _, complete in checks):
            raise typer.Exit(1)


@dataset_app.command("apply")
def dataset_apply(folder: Path, layout: LayoutOption, project: FolderOption = None, debug: DebugOption = False) -> None:
    """Write a dataset's splits, classes and label values into the index section of params.yaml."""
    from usseg.results.datasets import apply_dataset

    with one_line_errors(debug):
        for change in apply_dataset(folder_of(project), folder, layout):
            typer.echo(change)


@app.command()
def scores(project: FolderOption = None, debug: DebugOption = False) -> None:
    """Show the scores of every evaluated split, one column for each split."""
    from usseg.results.tables import scores_table, show

    with one_line_errors(debug):
        opened = open_project(project)
        show([scores_table(opened.root, opened.splits)])


@app.command()
def compare(
    segments: Annotated[str, typer.Option(help="Values of segments.method, separated by commas.")],
    cluster: Annotated[str, typer.Option(help="Values of cluster.method, separated by commas.")],
    split: Annotated[str, typer.Option(help="The split to compare on.")] = "val",
    device: DeviceOption = "auto",
    batch_size: BatchOption = 8,
    workers: WorkersOption = 0,
    scheduler: SchedulerOption = None,
    project: FolderOption = None,
    debug: DebugOption = False,
) -> None:
    """Run every pair of methods with the same features. Write comparison/index.html and print the scores."""
    with one_line_errors(debug):
        from usseg.pipeline.machine import execution_of
        from usseg.results.comparison import compare_methods

        execution = execution_of(device, batch_size, workers, scheduler)
        opened = open_project(project)
        for line in compare_methods(opened, segments.split(","), cluster.split(","), split, execution):
            typer.echo(line)


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
