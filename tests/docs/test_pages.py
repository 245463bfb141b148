"""What the pages name exists: params, commands, files. The changelog tells of the past, so it is left out."""

import logging
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from usseg.cli import app
from usseg.pipeline.project import resolved_params, say_once
from usseg.stages import STAGES

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks/RESULTS.md", *(ROOT / "docs").rglob("*.md")]
)
NAMES = "|".join([*STAGES, *(stage.formerly for stage in STAGES.values() if stage.formerly)])
PARAM = re.compile(rf"(?<![\w/.-])({NAMES})\.(\w+)(?:\.(\w+))?(?:: \{{([^}}]*)\}})?")
SUFFIXES = ("py", "md", "html", "json", "csv", "toml")
INDEX = {"root": "photos", "splits": {"train": {"images": "train"}, "val": {"images": "val"}}}
NEW = ("ward",)  # the method that a page adds
FOLDERS = ("pipeline", "stages", "results", "tests", "docs", "benchmarks", "data", ".ci", ".usseg", ".github")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def spans(text: str) -> list[str]:
    """The code spans of a page, and its lines of commands and params."""
    fenced = re.findall(r"^```(?:bash|yaml).*?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    indented = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    return [
        *re.findall(r"`([^`\n]+)`", text),
        *indented,
        *(line.strip() for block in fenced for line in block.splitlines()),
    ]


def unknown_params(text: str) -> list[str]:
    """The params that code spans name and no stage has."""
    found = []
    for stage, key, inner, braces in (match for span in spans(text) for match in PARAM.findall(span)):
        if key in SUFFIXES:
            continue
        if stage not in STAGES:  # the name of an earlier version
            found.append(f"{stage}.{key}")
            continue
        table = STAGES[stage].methods() if STAGES[stage].methods else {}
        options = {option for method in table for option in table[method].options.model_fields}
        named = (
            [part.partition(":")[0].strip() for part in braces.split(",") if ":" in part] if key == "options" else []
        )
        if key not in STAGES[stage].params.model_fields or (
            key == "options" and not {*named, *filter(None, [inner])} <= options
        ):
            found.append(f"{stage}.{key}.{inner} {braces}".rstrip(". "))
    return found


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_names_no_param_that_does_not_exist(page: Path) -> None:
    assert not unknown_params(page.read_text(encoding="utf-8"))


def test_the_reference_names_no_param_that_does_not_exist(reference: dict[str, str]) -> None:
    assert not {path: found for path, page in reference.items() if (found := unknown_params(page))}


def test_an_unknown_param_is_found() -> None:
    text = "`segments.nothing: 3`, `segments.options.nothing`, `cluster.options: {nothing: 1}`, `segments.method`, `model.seed`"
    assert len(unknown_params(text)) == 4


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_params_on_a_page_are_valid_and_of_today(
    page: Path, page_blocks: Callable[[Path], list[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    say_once.cache_clear()
    for block in page_blocks(page):
        content = YAML(typ="safe").load(block.text) if block.kind == "yaml" else {}
        if content and set(content) <= set(STAGES) and content.get("segments", {}).get("method") not in NEW:
            with caplog.at_level(logging.WARNING, logger="usseg"):
                resolved_params(STAGES, {"index": INDEX, **content})
    assert not caplog.messages


def unknown_words(line: str) -> list[str]:
    """The commands and options of a line that usseg has not; words in capitals or angles stand for others."""
    words = shlex.split(line, comments=True)[1:]
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "list_commands") and not words[0].startswith("-"):
        if words[0].isupper() or words[0].startswith("<"):
            return []
        if words[0] not in command.list_commands(None):
            return words[:1]
        command = command.commands[words.pop(0)]
    known = {option for param in command.params for option in param.opts} | {"--help"}
    return [word for word in words if word.startswith("--") and word.partition("=")[0] not in known]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_names_no_command_that_does_not_exist(page: Path) -> None:
    lines = [re.split(r" && | \|\| |; ", span)[0] for span in spans(page.read_text(encoding="utf-8"))]
    named = [line for line in lines if line.startswith("usseg ")]
    assert not {line: found for line in named if (found := unknown_words(line))}


def test_an_unknown_command_is_found() -> None:
    assert unknown_words("usseg describ artifacts/eigen/val.zarr") == ["describ"]
    assert unknown_words("usseg stage eigen --splt val # a comment") == ["--splt"]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_names_no_file_that_does_not_exist(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    named = [span.split()[0] for span in re.findall(r"`([^`\n]+)`(?! \*\(new\))", text)]
    paths = [path for path in named if path.split("/")[0] in FOLDERS and "/" in path and not re.search(r"[<*{]", path)]
    assert not [path for path in paths if not (ROOT / path).exists()]


def test_what_is_planned_is_not_there() -> None:
    text = (ROOT / "docs/explanation/idea.md").read_text(encoding="utf-8")
    assert ("student" in STAGES) != ("planned" in text)
