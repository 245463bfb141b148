"""Params: read params.yaml and validate its sections as frozen models."""

import difflib
import logging
import math
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError

from usseg.pipeline.errors import ParamsError

log = logging.getLogger("usseg")
PARAMS_FILE = "params.yaml"
LARGEST_FILE = 256 << 10  # bytes; a file with all keys and thousands of classes is smaller
DEEPEST = 32  # levels of nested mappings and lists
MOST_VALUES = 100_000  # values, aliases written out
SHOWN = 80  # characters of a value in a message


class Params(BaseModel):
    """Base of every params model: frozen, without unknown keys, type conversions, NaN or infinity.

    Every number of a model has a lower and an upper bound.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class MethodParams(Params):
    """Base of the params of a stage with methods. `options` is an instance of the model of the chosen method."""

    options: SerializeAsAny[Params] = Field(Params(), description="options of the chosen method")


P = TypeVar("P", bound=Params)
# The bound is below 2**32: libraries take seeds of 32 bits, and add to them.
Seed = Annotated[int, Field(ge=0, le=1_000_000_000, description="seed of all random numbers")]


def read_params(project: Path) -> dict[str, Any]:
    """Read params.yaml of a project as plain dicts. All keys are strings.

    Raises:
        ParamsError: the file is missing, is no valid YAML, is not a mapping of sections, or is too large.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError

    path = project / PARAMS_FILE
    try:
        with path.open("rb") as stream:
            text = stream.read(LARGEST_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise ParamsError(f"no {PARAMS_FILE} in {project}; run in the project folder or pass --project DIR") from None
    except OSError as error:
        raise ParamsError(f"{path}: {error.strerror or error}; a text file that you may read is needed") from None
    if len(text) > LARGEST_FILE:
        raise ParamsError(f"{PARAMS_FILE}: found more than {LARGEST_FILE >> 10} KiB, which is the largest size allowed")
    try:
        check_extent(YAML(typ="safe").parse(text.decode("utf-8")))
        content = YAML(typ="safe").load(text.decode("utf-8"))
    except ParamsError:
        raise
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise ParamsError(f"{PARAMS_FILE}: not valid YAML: {' '.join(str(error.problem).split())}{where}") from None
    except Exception as error:  # the constructors of tagged and unusual scalars raise many types
        raise ParamsError(f"{PARAMS_FILE}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ParamsError(f"{PARAMS_FILE}: found {type(content).__name__}; it must hold one section per stage")
    check_values(content, PARAMS_FILE)
    return content


def check_extent(events: Iterable[Any]) -> None:
    """Refuse a YAML document that is nested too deeply or has too many values. Aliases count as the values they repeat.

    Raises:
        ParamsError: more than DEEPEST levels or MOST_VALUES values, or an alias inside its own anchor.
    """
    from ruamel.yaml import events as kinds

    sizes: dict[str, int] = {}  # anchor -> number of values in its node
    open_nodes: list[tuple[str | None, int]] = []  # anchor, and number of values up to the node
    count = 0
    for event in events:
        if isinstance(event, kinds.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in open_nodes):
                raise ParamsError(
                    f"{PARAMS_FILE}: the alias *{event.anchor} stands inside of itself; write the values out"
                )
            count += sizes.get(event.anchor, 0)
        elif isinstance(event, kinds.NodeEvent):
            count += 1
            if isinstance(event, kinds.ScalarEvent):
                if event.anchor:
                    sizes[event.anchor] = 1
            else:
                open_nodes.append((event.anchor, count))
        elif isinstance(event, kinds.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor:
                sizes[anchor] = 1 + count - before
        if len(open_nodes) > DEEPEST:
            raise ParamsError(
                f"{PARAMS_FILE}: found lists or mappings nested deeper than {DEEPEST}; write fewer levels"
            )
        if count > MOST_VALUES:
            raise ParamsError(f"{PARAMS_FILE}: found more than {MOST_VALUES} values, aliases written out; write fewer")


def check_values(values: Any, where: str) -> None:
    """Refuse keys that are not strings, and numbers that are not finite.

    YAML reads some keys as numbers or dates. NaN is unequal to itself, so an artifact would never match params.yaml.

    Raises:
        ParamsError: names the first such key or value.
    """
    if isinstance(values, float) and not math.isfinite(values):
        raise ParamsError(f"{where}: found {values}; a finite number is needed")
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in items:
        if isinstance(values, dict) and not isinstance(key, str):
            raise ParamsError(
                f'{where}: found the key {short_repr(key)}; a key is a word: write it in quotes, as in "{key}"'
            )
        separator = ": " if where == PARAMS_FILE else "."
        check_values(value, f"{where}{separator}{str(key)[:SHOWN]}")


def parse_section(values: Mapping[str, Any], section: str, model: type[P]) -> P:
    """Validate the values of one section. A missing key has its default.

    Raises:
        ParamsError: one line that names the key, what was found and what is allowed.
    """
    for name in values:
        if name not in model.model_fields:
            raise ParamsError(unknown_key(f"{PARAMS_FILE}: {section}.{name[:SHOWN]}", name, model))
    for name, field in model.model_fields.items():
        if name not in values and field.is_required():
            raise ParamsError(f"{PARAMS_FILE}: {section}.{name}: missing")
    return validate(values, model, where=f"{PARAMS_FILE}: {section}")


def validate(values: Mapping[str, Any], model: type[P], *, where: str) -> P:
    """Validate values against a model.

    Raises:
        ParamsError: one line that begins with `where`.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise ParamsError(explain(error, values, model, where)) from None


def explain(error: ValidationError, values: Mapping[str, Any], model: type[BaseModel], where: str) -> str:
    """Turn the first finding of pydantic into one line. An unknown key is reported before a missing one."""
    findings = error.errors()
    first = next((finding for finding in findings if finding["type"] == "extra_forbidden"), findings[0])
    path = first["loc"] if first["type"] == "missing" else written_path(values, first["loc"])
    dotted = ".".join([where, *map(str, path)])
    if first["type"] == "missing":
        return f"{dotted}: missing"
    if first["type"] == "extra_forbidden":
        return unknown_key(dotted, str(path[-1]), model_at(model, path[:-1]))
    # Pydantic reports one finding for each member of a union.
    allowed = dict.fromkeys(f["msg"] for f in findings if written_path(values, f["loc"]) == path)
    message = " or ".join(allowed).removeprefix("Value error, ").replace(" or Input should be ", " or ")
    return f"{dotted}: found {short_repr(first['input'])}; {message[:1].lower()}{message[1:]}"


def unknown_key(where: str, name: str, model: type[BaseModel]) -> str:
    """The message about an unknown key: it names the nearest known key and all known keys."""
    return f"{where}: unknown key{nearest(name, model.model_fields)} (known: {keys_of(model) or 'none'})"


def model_at(model: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel]:
    """The model of the values at a path, which may lead through lists and mappings."""
    annotation: Any = model
    for part in path:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            annotation = annotation.model_fields[str(part)].annotation
        else:
            annotation = get_args(annotation)[-1]
    return annotation


def refused(key: str, value: object, allowed: str) -> ParamsError:
    """The error about the value of a key. `allowed` says what is allowed, or what to do."""
    return ParamsError(f"{PARAMS_FILE}: {key}: found {short_repr(value)}; {allowed}")


def short_repr(value: object) -> str:
    """The `repr` of a value, cut to SHOWN characters."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def written_path(values: Any, path: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The part of pydantic's path that exists in the values. The rest of the path names members of a union."""
    for depth, part in enumerate(path):
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            return path[:depth]
    return path


def keys_of(model: type[BaseModel]) -> str:
    """The keys of a model, separated by commas; `options` is the last one."""
    return ", ".join(sorted(model.model_fields, key=lambda name: name == "options"))


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` with the nearest known name, or an empty string."""
    near = difflib.get_close_matches(name[:SHOWN], list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


@cache
def say_once(line: str) -> None:
    """Log a line about params.yaml once in a process."""
    log.warning("%s", line)
