"""The usseg command: parse, look up the stage, call the runner, print one-line errors."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from usseg.pipeline.errors import UssegError
from usseg.pipeline.terminal import log_to_terminal, one_line, printable

if TYPE_CHECKING:
    from usseg.pipeline.stage import Execution, Stage


def say_version(wanted: bool) -> None:
    """Print the version that is installed, and end."""
    if wanted:
        from importlib.metadata import version

        typer.echo(f"usseg {version('usseg')}")
        raise typer.Exit


class StageGroup(TyperGroup):
    """The commands of the stages; the stages are imported when one is asked for, so that `usseg --help` is quick."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the stages, in order."""
        self.add_stages()
        return super().list_commands(ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the arguments name."""
        self.add_stages()
        return super().resolve_command(ctx, args)

    def add_stages(self) -> None:
        """Import the stages and make a command of each."""
        from usseg.stages import STAGES

        for name, stage in STAGES.items():
            single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            single.command(name, help=stage.summary)(stage_command(stage))
            self.commands[name] = typer.main.get_command(single)


app = typer.Typer(
    name="usseg",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
stage_app = typer.Typer(cls=StageGroup, help="Run one stage for one split.", no_args_is_help=True)
recipe_app = typer.Typer(help="Write published settings into params.yaml.", no_args_is_help=True)
dataset_app = typer.Typer(help="Public datasets as they are distributed.", no_args_is_help=True)
app.add_typer(stage_app, name="stage")
app.add_typer(recipe_app, name="recipe")
app.add_typer(dataset_app, name="dataset")

ProjectOption = Annotated[Path, typer.Option("--project", help="The folder that holds params.yaml.")]
LayoutOption = Annotated[str, typer.Option(help="A name of `usseg dataset list`.")]
DeviceOption = Annotated[str, typer.Option(envvar="USSEG_DEVICE", help="auto, cpu, cuda or cuda:N.")]
BatchOption = Annotated[int, typer.Option(envvar="USSEG_BATCH_SIZE", min=1, max=65536, help="Images a forward pass.")]
WorkersOption = Annotated[
    int,
    typer.Option(
        envvar="USSEG_WORKERS", min=0, max=1024, help="Processes; 0: one a core, 1 where a stage runs on a GPU."
    ),
]
SchedulerOption = Annotated[
    str | None, typer.Option(envvar="USSEG_SCHEDULER", help="An existing Dask cluster: tcp://...")
]
VersionOption = Annotated[
    bool, typer.Option("--version", callback=say_version, is_eager=True, help="Show the version and exit.")
]
NeededOption = Annotated[
    bool, typer.Option("--if-needed", help="Leave it empty where no chosen method reads it, as dvc.yaml does.")
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@app.callback()
def usseg(version: VersionOption = False) -> None:
    """Unlabelled images -> semantic segmentations, stage by stage."""


@contextmanager
def one_line_errors(debug: bool) -> Iterator[None]:
    """Print the user's mistakes as one line and exit with 1; `--debug` shows the traceback."""
    log_to_terminal()
    try:
        yield
    except (UssegError, ValueError, OSError) as error:
        if debug:
            raise
        prefix = "" if isinstance(error, UssegError) else f"{type(error).__name__}: "
        typer.echo(f"usseg: {prefix}{printable(one_line(error))}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        if debug:
            raise
        typer.echo("usseg: interrupted; the same command continues where it stopped", err=True)
        raise typer.Exit(130) from None


def execution_of(
    project: Path, device: str, batch_size: int, workers: int, scheduler: str | None, *, stage: "Stage | None" = None
) -> "Execution":
    """The options that change no result. Where a stage works image by image, a scheduler's workers do the work."""
    from usseg.pipeline.machine import resolve_device
    from usseg.pipeline.stage import Execution

    elsewhere = scheduler is not None and stage is not None and stage.sizes is not None
    return Execution(project.resolve(), resolve_device(device, elsewhere=elsewhere), batch_size, workers, scheduler)


def stage_command(stage: "Stage") -> Callable[..., None]:
    """The command of one stage; the options are the same for all."""
    default_split: Any = {"all": "all", "fit": "", "each": ...}[stage.scope]

    def command(
        split: Annotated[str, typer.Option("--split", help="A split of index.splits.")] = default_split,
        device: DeviceOption = "auto",
        batch_size: BatchOption = 8,
        workers: WorkersOption = 0,
        scheduler: SchedulerOption = None,
        if_needed: NeededOption = False,
        project: ProjectOption = Path(),
        debug: DebugOption = False,
    ) -> None:
        from usseg.pipeline.inputs import fit_split
        from usseg.pipeline.progress import progress_bar
        from usseg.pipeline.runner import run_stage
        from usseg.pipeline.sections import read_sections
        from usseg.stages import STAGES

        with one_line_errors(debug):
            execution = execution_of(project, device, batch_size, workers, scheduler, stage=stage)
            split = split or fit_split(read_sections(STAGES, execution.project))
            with progress_bar(f"{stage.name}@{split}") as progress:
                run_stage(STAGES, stage.name, split, replace(execution, progress=progress), if_needed=if_needed)

    command.__doc__ = stage.summary
    return command


@stage_app.callback()
def stages_of_the_pipeline() -> None:
    """Run one stage for one split."""


@recipe_app.command("list")
def recipe_list() -> None:
    """List the recipes with one line each."""
    from usseg.results.recipes import RECIPES

    width = max(map(len, RECIPES))
    for recipe in RECIPES.values():
        typer.echo(f"{recipe.name:<{width}} {recipe.summary}")


@recipe_app.command("apply")
def recipe_apply(
    name: str,
    root: Annotated[str | None, typer.Option(help="Folder of the images; index.root.")] = None,
    project: ProjectOption = Path(),
    debug: DebugOption = False,
) -> None:
    """Write a recipe into params.yaml: every param but seeds, weights, images and report; comments stay."""
    from usseg.results.params_file import check_params
    from usseg.results.recipes import apply_recipe
    from usseg.stages import STAGES

    with one_line_errors(debug):
        for change in apply_recipe(STAGES, project.resolve(), name, root=root, check=check_params):
            typer.echo(change)


@dataset_app.command("list")
def dataset_list() -> None:
    """List the known datasets with one line each."""
    from usseg.results.datasets import SUMMARIES

    for name, summary in SUMMARIES.items():
        typer.echo(f"{name:<16} {summary}")


@dataset_app.command("check")
def dataset_check(folder: Path, layout: LayoutOption, debug: DebugOption = False) -> None:
    """Say what of a dataset is in a folder and what is missing; exit with 1 where something is."""
    from usseg.results.datasets import find_layout
    from usseg.results.datasets.layouts import check

    with one_line_errors(debug):
        found = list(check(find_layout(layout, folder), folder))
        for line, _ in found:
            typer.echo(line)
        if not all(fine for _, fine in found):
            raise typer.Exit(1)


@dataset_app.command("apply")
def dataset_apply(
    folder: Path, layout: LayoutOption, project: ProjectOption = Path(), debug: DebugOption = False
) -> None:
    """Write a dataset's splits, classes and label values into the index section of params.yaml."""
    from usseg.results.datasets import apply_dataset

    with one_line_errors(debug):
        for change in apply_dataset(project, folder, layout):
            typer.echo(change)


@app.command()
def scores(project: ProjectOption = Path(), debug: DebugOption = False) -> None:
    """Show the scores of every evaluated split: one column a split."""
    with one_line_errors(debug):
        from rich.console import Console

        from usseg.pipeline.sections import read_sections
        from usseg.results.tables import scores_table
        from usseg.stages import STAGES

        splits = read_sections(STAGES, project.resolve())["index"]["splits"]
        Console().print(scores_table(project.resolve(), list(splits)))


@app.command()
def needed(project: ProjectOption = Path(), debug: DebugOption = False) -> None:
    """Write artifacts/needed/<stage>, yes or no for every stage: whether a chosen method reads its artifact."""
    with one_line_errors(debug):
        from usseg.pipeline.artifact import write_file
        from usseg.pipeline.inputs import needed_stages
        from usseg.pipeline.sections import read_sections
        from usseg.stages import STAGES

        found = needed_stages(STAGES, read_sections(STAGES, project.resolve()))
        for name in STAGES:
            write_file(project.resolve() / "artifacts/needed" / name, b"yes\n" if name in found else b"no\n")


@app.command()
def compare(
    segments: Annotated[str, typer.Option(help="Values of segments.method, by commas.")],
    cluster: Annotated[str, typer.Option(help="Values of cluster.method, by commas.")],
    split: Annotated[str, typer.Option(help="The split to compare on.")] = "val",
    device: DeviceOption = "auto",
    batch_size: BatchOption = 8,
    workers: WorkersOption = 0,
    scheduler: SchedulerOption = None,
    project: ProjectOption = Path(),
    debug: DebugOption = False,
) -> None:
    """Run every pair of methods over one feature dump; write comparison/index.html and print the scores."""
    with one_line_errors(debug):
        from usseg.results.comparison import compare_methods
        from usseg.stages import STAGES

        execution = execution_of(project, device, batch_size, workers, scheduler)
        for line in compare_methods(STAGES, segments.split(","), cluster.split(","), split, execution):
            typer.echo(line)


@app.command()
def describe(path: Path, debug: DebugOption = False) -> None:
    """Say what an artifact holds: arrays, axes, units and the params that made it."""
    with one_line_errors(debug):
        from rich.console import Console

        from usseg.pipeline.artifact import open_artifact
        from usseg.results.tables import print_artifact

        print_artifact(open_artifact(path), Console())


@app.command()
def doctor(project: ProjectOption = Path(), debug: DebugOption = False) -> None:
    """Say what this machine can do and what is missing."""
    with one_line_errors(debug):
        from usseg.results.doctor import findings
        from usseg.stages import STAGES

        for name, finding in findings(STAGES, project.resolve()):
            typer.echo(f"{name:<15} {finding}")


if __name__ == "__main__":
    app()
