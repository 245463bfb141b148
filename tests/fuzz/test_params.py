"""A damaged or mistyped params.yaml is refused by its key, or used as it is written."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from usseg.pipeline.project import Project
from usseg.stages import STAGES

VALUES_CHANGED, TEXT_CHANGED = range(50), range(25)
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, 2, 3, -1, 0.5, -0.5, 1e-300, 1e308, float("nan"), float("inf"), -float("inf"), 2**31, 2**32, 2**63, 10**40,
    "", " ", "none", "auto", "3", "x" * 5000, "a\nb", "\u202e", [], [1, 2], ["a", "a"], [[]], {}, {"a": 1}, {"method": "none"}, {"epochs": -1},
    {"n_init": 10**12}, [float("nan")], ["9-1"], ["0-99999999"],
)  # fmt: skip


def edit_distance_one(word: str, rng: np.random.Generator) -> str:
    """A word with a letter less, twice or changed."""
    place = int(rng.integers(len(word)))
    return (
        word[:place] + word[place + 1 :],
        word[:place] + word[place] + word[place:],
        word[:place] + "z" + word[place + 1 :],
    )[int(rng.integers(3))]


def change_value(content: dict[str, Any], rng: np.random.Generator) -> tuple[str, str]:
    """Change one key of one section; returns the words that a message may name, and what was done."""
    section = list(content)[int(rng.integers(len(content)))]
    key = list(content[section])[int(rng.integers(len(content[section])))]
    kind = float(rng.random())
    if kind < 0.1:
        del content[section][key]
        return key, f"no {section}.{key}"
    if kind < 0.2:
        other = edit_distance_one(key, rng)
        content[section][other] = content[section].pop(key)
        return other, f"{section}.{key} is called {other}"
    if kind < 0.25:
        content[section] = VALUES[int(rng.integers(len(VALUES)))]
        return section, f"{section} is {str(content[section])[:40]}"
    value = VALUES[int(rng.integers(len(VALUES)))]
    content[section][key] = value
    return key, f"{section}.{key} is {str(value)[:40]}"


def spoil_text(text: str, rng: np.random.Generator) -> tuple[str, str]:
    """Another text, and what was done."""
    lines = text.splitlines(keepends=True)
    place, other = (int(value) for value in rng.integers(0, len(lines), 2))
    letter = int(rng.integers(len(text)))
    options = {
        f"line {place} twice": [*lines[:place], lines[place], *lines[place:]],
        f"no line {place}": [*lines[:place], *lines[place + 1 :]],
        f"lines {place} and {other} swapped": [
            lines[{place: other, other: place}.get(number, number)] for number in range(len(lines))
        ],
        f"line {place} indented": [*lines[:place], " " + lines[place], *lines[place + 1 :]],
        f"a tab before line {place}": [*lines[:place], "\t" + lines[place], *lines[place + 1 :]],
        f"letter {letter} changed": [text[:letter], chr(int(rng.integers(1, 0x250))), text[letter + 1 :]],
        f"cut after {letter}": [text[:letter]],
        "an anchor bomb": ["a: &a [1, 1, 1, 1]\n", *(f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}, *{a}]\n" for a, b in zip("abcdefghij", "bcdefghijk", strict=True)), text],
        "nesting": ["x: ", "[" * 5000, "]" * 5000, "\n", text],
        "a byte order mark": ["\ufeff", text],
        "other line ends": ["\r\n".join(text.splitlines())],
        "a comment": [text, "# index: nothing\n"],
        "a tag": [text.replace("seed: ", "seed: !!python/object/apply:os.system ", 1)],
        "a number as key": [text, "3: 4\n"],
        "two documents": [text, "---\n", text],
    }  # fmt: skip
    name = list(options)[int(rng.integers(len(options)))]
    return "".join(options[name]), name


def resolved(project: Path) -> dict[str, Any]:
    """The complete params of a project by section."""
    return {name: params.model_dump(mode="json") for name, params in Project.open(STAGES, project).params.items()}


def run_changed(
    project: Any,
    before: dict[str, Any],
    attempt: Callable[..., str | None],
    is_finite: Callable[[Any], bool],
    caplog: Any,
    name: str,
) -> None:
    """Read params.yaml; where all of it is right, run the first stage that it changes."""
    sections: list[dict[str, Any]] = []
    if attempt(lambda: sections.append(resolved(project.path)), name, "params.yaml") is not None:
        assert attempt(lambda: project.run("index"), name, "params.yaml"), "index runs with params that are refused"
        return
    changed = [section for section in STAGES if sections[0][section] != before[section]]
    caplog.set_level(logging.INFO, "usseg")
    section = changed[0] if changed else "segments"
    split = "all" if STAGES[section].scope == "all" else "train"
    if section == "segmenter" or attempt(lambda: project.run(section, split), name, section, *changed) is not None:
        return
    current = f"{section}@{split} is up to date" in caplog.text
    assert current == (not changed), f"{changed} changed, but: {caplog.text}"
    assert is_finite(project.artifact(section, split))


@pytest.mark.parametrize("seed", VALUES_CHANGED)
def test_a_changed_value(
    seed: int,
    class_project: Path,
    tmp_path: Path,
    copied: Callable[[Path, Path], Any],
    attempt: Callable[..., str | None],
    is_finite: Callable[[Any], bool],
    caplog: pytest.LogCaptureFixture,
) -> None:
    rng = np.random.default_rng([6, seed])
    project = copied(class_project, tmp_path)
    path = project.path / "params.yaml"
    content = YAML(typ="safe").load(path.read_text())
    before = resolved(project.path)
    name, what = change_value(content, rng)
    print(f"seed {seed}: {what}")
    with path.open("w") as stream:
        YAML(typ="safe").dump(content, stream)
    run_changed(project, before, attempt, is_finite, caplog, name)


@pytest.mark.parametrize("seed", TEXT_CHANGED)
def test_a_changed_text(
    seed: int,
    class_project: Path,
    tmp_path: Path,
    copied: Callable[[Path, Path], Any],
    spoil: Callable[..., tuple[bytes, str]],
    attempt: Callable[..., str | None],
    is_finite: Callable[[Any], bool],
    caplog: pytest.LogCaptureFixture,
) -> None:
    rng = np.random.default_rng([7, seed])
    project = copied(class_project, tmp_path)
    path = project.path / "params.yaml"
    before = resolved(project.path)
    if seed % 4 == 0:
        spoilt, what = spoil(path.read_bytes(), rng)
    else:
        text, what = spoil_text(path.read_text(), rng)
        spoilt = text.encode()
    print(f"seed {seed}: {what}")
    path.write_bytes(spoilt)
    run_changed(project, before, attempt, is_finite, caplog, "params.yaml")
