"""The commands that write known settings into params.yaml: `usseg recipe` and `usseg dataset`."""

from pathlib import Path
from typing import Annotated

import typer

from usseg.pipeline.terminal import one_line_errors
from usseg.results.command_options import DebugOption, FolderOption, folder_of

recipe_app = typer.Typer(help="Write published settings into params.yaml.", no_args_is_help=True)
dataset_app = typer.Typer(help="Public datasets as they are distributed.", no_args_is_help=True)

LayoutOption = Annotated[str, typer.Option(help="A name of `usseg dataset list`.")]


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
