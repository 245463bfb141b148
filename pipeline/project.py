"""A project: a folder with a params.yaml, which is read once. Every section is checked and completed by defaults."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from usseg.pipeline.errors import ParamsError
from usseg.pipeline.methods import names_of
from usseg.pipeline.params import (
    PARAMS_FILE,
    Params,
    keys_of,
    nearest,
    parse_section,
    read_params,
    refused,
    say_once,
    short_repr,
    validate,
)
from usseg.pipeline.stage import Input, Stage

Table = Mapping[str, Stage]
INDEX = "index"  # the stage that lists images; `pipeline` knows no other stage by name


@dataclass(frozen=True)
class Project:
    """A project folder and the content of its params.yaml.

    Attributes:
        root: the absolute path of the folder.
        stages: the table of stages, in the order of the pipeline.
        params: the params of every stage. A key that params.yaml does not name has its default.
    """

    root: Path
    stages: Table
    params: Mapping[str, Params]

    @classmethod
    def open(cls, stages: Table, root: Path) -> "Project":
        """Read params.yaml of a folder and check all of its sections.

        Raises:
            ParamsError: one line about the first mistake.
        """
        return cls.of(stages, root, read_params(root))

    @classmethod
    def of(cls, stages: Table, root: Path, content: Mapping[str, Any]) -> "Project":
        """The project of a folder, as if its params.yaml had this content.

        Raises:
            ParamsError: one line about the first mistake.
        """
        return cls(root.resolve(), stages, resolved_params(stages, content))

    @cached_property
    def splits(self) -> list[str]:
        """The names of `index.splits`, in order."""
        index: Any = self.params[INDEX]
        return list(index.splits)

    @cached_property
    def fit_split(self) -> str:
        """The split on which everything is fitted.

        Raises:
            ParamsError: `index.splits` does not list it.
        """
        index: Any = self.params[INDEX]
        name = str(index.fit_split)
        if name not in self.splits:
            raise refused(
                "index.fit_split", name, f"a split of index.splits is needed (known: {', '.join(self.splits)})"
            )
        return name

    @cached_property
    def index_params(self) -> dict[str, Any]:
        """The section `index` as JSON values."""
        return self.params[INDEX].model_dump(mode="json")

    def splits_of(self, name: str) -> list[str]:
        """The splits for which a stage runs; ["all"] if the stage runs once for all splits."""
        scope = self.stages[name].scope
        if scope == "all":
            return ["all"]
        return [self.fit_split] if scope == "fit" else self.splits

    def split_of(self, item: Input, split: str) -> list[str]:
        """The splits of an input that a stage reads when it runs for `split`."""
        if item.split == "all":
            return self.splits
        return [self.fit_split] if item.split == "fit" else [split]

    def reads(self, name: str) -> list[Input]:
        """The inputs that a stage reads with the params of this project."""
        return [
            item
            for item in self.stages[name].inputs
            if item.stage in (self.needed if item.when == "present" else self.asked[name])
        ]

    @cached_property
    def asked(self) -> dict[str, set[str]]:
        """Stage -> the stages whose artifacts its params request."""
        return {name: stage.asked(self.params) for name, stage in self.stages.items()}

    @cached_property
    def needed(self) -> frozenset[str]:
        """The last stage of the table, and all stages upstream of it."""
        last = list(self.stages)[-1]
        return self.upstream(last) | {last}

    def upstream(self, name: str) -> frozenset[str]:
        """The stages whose artifacts a stage needs, directly or through other stages."""
        found: set[str] = set()
        pending = [name]
        while pending:
            stage = pending.pop()
            present = {item.stage for item in self.stages[stage].inputs if item.when == "present"}
            new = self.asked[stage] - present - found
            pending += new
            found |= new
        return frozenset(found)


def find_root(start: Path) -> Path:
    """The nearest folder with a params.yaml, from `start` upwards; `start` itself if there is none."""
    start = start.resolve()
    return next((folder for folder in (start, *start.parents) if (folder / PARAMS_FILE).is_file()), start)


def resolved_params(stages: Table, content: Mapping[str, Any]) -> dict[str, Params]:
    """The complete params of every stage, from the content of params.yaml.

    Raises:
        ParamsError: one line about the first mistake: an unknown section, a bad value, an option that the chosen method
            does not read, or values that contradict each other.
    """
    sections = todays_sections(stages, content)
    for name in sections:
        if name not in stages:
            raise ParamsError(
                f"{PARAMS_FILE}: {name}: no such stage{nearest(name, stages)} (known: {', '.join(stages)})"
            )
    params = {name: stage_params(stage, sections.get(name, {})) for name, stage in stages.items()}
    for name, stage in stages.items():
        stage.check(params)
        own: Any = params[name]
        method = stage.method(own)
        if method is not None:
            method.check(own.options, params)
    return params


def stage_params(stage: Stage, values: Any) -> Params:
    """The complete params of one stage, from the values of its section.

    Raises:
        ParamsError: one line with the key, the value and what is allowed.
    """
    if not isinstance(values, Mapping):
        raise ParamsError(
            f"{PARAMS_FILE}: {stage.name}: found {short_repr(values)}; "
            f"a section with keys {keys_of(stage.params)} is needed"
        )
    if stage.methods is None:
        return parse_section(values, stage.name, stage.params)
    given = values.get("options", {})
    if not isinstance(given, Mapping):
        raise refused(f"{stage.name}.options", given, "keys of the method and their values are needed")
    params = parse_section({**values, "options": {}}, stage.name, stage.params)
    choice = getattr(params, stage.choice)
    table, name = stage.methods(), ", ".join(names_of(choice))
    method = table.chosen(choice, key=f"{stage.name}.{stage.choice}")
    for key in given:
        if isinstance(choice, str) and key not in method.options.model_fields:
            readers = [other for other in table if key in table[other].options.model_fields]
            if readers:
                raise refused(
                    f"{stage.name}.options.{key}",
                    given[key],
                    f"{stage.choice}: {name} does not read it (read by: {', '.join(readers)}); remove it",
                )
    where = f"{PARAMS_FILE}: {stage.name}.options ({name})"
    return params.model_copy(update={"options": validate(given, method.options, where=where)})


def todays_sections(stages: Table, content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of params.yaml, with the names of earlier versions replaced by current names."""
    former = {stage.formerly: name for name, stage in stages.items() if stage.formerly}
    sections: dict[str, Any] = {}
    for name, values in content.items():
        if name in former:
            say_once(f"{PARAMS_FILE}: section {name} is called {former[name]} now")
        sections[former.get(name, name)] = dict(values) if isinstance(values, Mapping) else values
    for name, stage in stages.items():
        if isinstance(sections.get(name), dict):
            sections[name] = stage.former(sections[name])
            move_keys(stage, sections)
    return sections


def move_keys(stage: Stage, sections: dict[str, Any]) -> None:
    """Move the keys of earlier versions to their current place, and log it. Keys that nothing reads are removed."""
    values = sections[stage.name]
    for key in [key for key in values if key in stage.moved]:
        place, _, new = stage.moved[key].rpartition(".")
        where = f"{PARAMS_FILE}: {stage.name}.{key}"
        if place == "options":
            options = values.setdefault("options", {})
            if not isinstance(options, dict):
                return
            table = stage.methods() if stage.methods else {}
            name = stage.chosen(values)
            if name in table and new not in table[name].options.model_fields:
                value = values.pop(key)
                say_once(f"{where}: {value!r} is left out: {stage.choice}: {name} does not read it; remove that line")
                continue
            target, shown = options, f"{stage.name}.options.{new}"
        else:
            target, shown = sections.setdefault(place, {}), f"{place}.{new}"
        if new in target:
            raise ParamsError(f"{where}: found together with {shown}, its current name; remove the first")
        target[new] = values.pop(key)
        say_once(f"{where} is {shown} now")
