"""The reference is whole: every stage, method, param, array and command has its place."""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel

from usseg.cli import app
from usseg.results.datasets import SUMMARIES
from usseg.results.recipes import RECIPES
from usseg.stages import STAGES

ROOT = Path(__file__).resolve().parents[2]
METHODS = [(name, method) for name, stage in STAGES.items() if stage.methods for method in stage.methods().own]


def rows_of(page: str) -> dict[str, list[str]]:
    """The rows of the tables of a page by their first cell, a code span."""
    found = re.findall(r"^\| `([^`]+)` \| (.*) \|$", page, re.MULTILINE)
    return {name: re.split(r" \| ", rest) for name, rest in found}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_has_a_page_with_its_params_and_arrays(name: str, reference: dict[str, str]) -> None:
    stage = STAGES[name]
    page = rows_of(reference[f"reference/stages/{name}.md"])
    for key in set(stage.params.model_fields) - ({"options"} if stage.methods else set()):
        assert f"{name}.{key}" in page
    assert set(stage.arrays) <= set(page)
    assert set(stage.arrays) <= set(
        rows_of(reference["reference/artifacts.md"].split(f"\n## {name}\n")[1].split("\n## ")[0])
    )
    assert set(stage.offers) <= set(page)
    for item in stage.inputs:
        assert f"[{item.stage}]({item.stage}.md)" in reference[f"reference/stages/{name}.md"]


@pytest.mark.parametrize(("stage", "name"), METHODS)
def test_a_method_has_a_page_with_its_options(stage: str, name: str, reference: dict[str, str]) -> None:
    entry = STAGES[stage].methods()[name]
    page = reference[f"reference/stages/{stage}/{name}.md"]
    assert entry.summary.split("_")[0] in page
    assert f"  {STAGES[stage].choice}: {name}\n" in page
    assert {key for key in rows_of(page) if "NAME" not in key} == {
        f"{stage}.options.{key}" for key in entry.options.model_fields
    }
    assert f"[`{name}`]({stage}/{name}.md)" in reference[f"reference/stages/{stage}.md"]


def every_param() -> Iterator[tuple[str, type[BaseModel], str]]:
    """Each key as the pages write it, its model, its field."""
    for name, stage in STAGES.items():
        for key in stage.params.model_fields:
            if key != "options" or not stage.methods:
                yield f"{name}.{key}", stage.params, key
        for method in stage.methods().own if stage.methods else ():
            options = stage.methods()[method].options
            for key in options.model_fields:
                yield f"{name}.options.{key}", options, key


def test_the_list_of_params_holds_every_one_and_no_other(reference: dict[str, str]) -> None:
    listed = {key for key in rows_of(reference["reference/params.md"]) if "NAME" not in key}
    assert listed == {key for key, _, _ in every_param()}


@pytest.mark.parametrize(("key", "model", "field"), list(every_param()))
def test_a_param_says_what_it_means(key: str, model: type[BaseModel], field: str) -> None:
    assert model.model_fields[field].description, key


def test_numbers_have_their_bounds_and_defaults(reference: dict[str, str]) -> None:
    rows = rows_of(reference["reference/stages/eigen.md"])
    assert rows["eigen.k"] == [
        "integer 2 to 4,096",
        "`15`",
        "number of eigenpairs of an image, the trivial one included",
    ]
    rows = rows_of(reference["reference/stages/segments/kmeans.md"])
    assert rows["segments.options.num_segments"][:2] == ['integer 1 to 32,766 or `"eigengap"`', "`10`"]


def commands(group: object, path: str) -> Iterator[str]:
    for name in group.list_commands(None):
        command = group.commands[name]
        if hasattr(command, "list_commands"):
            yield from commands(command, f"{path} {name}")
        elif not command.hidden:
            yield f"{path} {name}"


def test_every_command_has_its_place(reference: dict[str, str]) -> None:
    page = reference["reference/commands.md"]
    every = set(commands(typer.main.get_command(app), "usseg"))
    stages = {f"usseg stage {name}" for name in STAGES}
    assert stages < every
    for command in every - stages:
        assert re.search(rf"^#+ {command}$", page, re.MULTILINE)
    for name in STAGES:
        assert f"[{name}](stages/{name}.md)" in page


def test_every_recipe_and_dataset_is_listed(reference: dict[str, str]) -> None:
    for name in RECIPES:
        assert f"\n## {name} {{#{name}}}\n" in reference["reference/recipes.md"]
    assert set(rows_of(reference["reference/datasets.md"])) == set(SUMMARIES)


@pytest.mark.skipif(find_spec("mkdocs") is None, reason="mkdocs is not installed")
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path)))
    assert (tmp_path / "reference/stages/segments/spectral/index.html").is_file()
    assert (tmp_path / "index.html").is_file()
