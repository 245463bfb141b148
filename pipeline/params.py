"""A section of params.yaml -> the stage's frozen, validated params."""

import difflib
import math
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.errors import ParamsError

PARAMS_FILE = "params.yaml"


class Params(BaseModel):
    """Base of every params model: frozen, no unknown keys, no silent type conversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


P = TypeVar("P", bound=Params)


def read_params(project: Path) -> dict[str, Any]:
    """Read params.yaml of a project as plain dicts.

    Raises:
        ParamsError: no such file, no valid YAML, or not a mapping of sections.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    path = project / PARAMS_FILE
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ParamsError(f"no {PARAMS_FILE} in {project}; run in the project folder or pass --project DIR") from None
    except (YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ParamsError(f"{PARAMS_FILE}: not valid YAML: {reason}") from None
    if not isinstance(content, dict):
        raise ParamsError(f"{PARAMS_FILE}: found {type(content).__name__}; it must hold one section per stage")
    refuse_infinite(content)
    return content


def refuse_infinite(content: Mapping[Any, Any]) -> None:
    """Refuse a number that is infinite or no number, however deep it stands: an artifact would never match params.yaml.

    Raises:
        ParamsError: names the first one by its key.
    """
    waiting: deque[tuple[str, Any]] = deque((f"{PARAMS_FILE}: {section}", part) for section, part in content.items())
    seen: set[int] = set()  # YAML's aliases may repeat a part many times, or make it hold itself
    while waiting:
        where, value = waiting.popleft()
        if isinstance(value, float) and not math.isfinite(value):
            raise ParamsError(f"{where}: found {value}; a finite number is needed")
        if isinstance(value, Mapping | list | tuple | set) and id(value) not in seen:
            seen.add(id(value))
            parts = value.items() if isinstance(value, Mapping) else enumerate(value)
            waiting += [(f"{where}.{key}", part) for key, part in parts]


def parse_section(content: Mapping[str, Any], section: str, model: type[P]) -> P:
    """Validate one section. Every key must be written out: what decides a result stands in params.yaml.

    Raises:
        ParamsError: one line that names the key, what was found and what is allowed.
    """
    if not isinstance(content.get(section), dict):
        found = content.get(section)
        raise ParamsError(f"{PARAMS_FILE}: {section}: found {found!r}; a section with keys {keys_of(model)} is needed")
    values = content[section]
    for name, field in model.model_fields.items():
        if name not in values:
            hint = "" if field.is_required() else f"; its default is {field.get_default(call_default_factory=True)!r}"
            raise ParamsError(f"{PARAMS_FILE}: {section}.{name}: missing{hint}")
    return validate(values, model, where=f"{PARAMS_FILE}: {section}")


def validate(values: Mapping[str, Any], model: type[P], *, where: str) -> P:
    """Validate values against a model; `where` begins the error line."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise ParamsError(explain(error, values, model, where)) from None


def explain(error: ValidationError, values: Mapping[str, Any], model: type[BaseModel], where: str) -> str:
    """Turn the first finding of pydantic into one line; an unknown key goes before a missing one."""
    findings = error.errors()
    first = next((finding for finding in findings if finding["type"] == "extra_forbidden"), findings[0])
    path = first["loc"] if first["type"] == "missing" else written_path(values, first["loc"])
    dotted = ".".join([where, *map(str, path)])
    if first["type"] == "missing":
        return f"{dotted}: missing"
    if first["type"] == "extra_forbidden":
        siblings = [f["loc"][-1] for f in findings if f["type"] == "missing" and f["loc"][:-1] == path[:-1]]
        fields = list(model.model_fields) if len(path) == 1 else [str(name) for name in siblings]
        known = f" (known: {keys_of(model)})" if len(path) == 1 else ""
        return f"{dotted}: unknown key{nearest(str(path[-1]), fields)}{known}"
    # A union reports one finding a member.
    allowed = dict.fromkeys(f["msg"] for f in findings if written_path(values, f["loc"]) == path)
    message = " or ".join(allowed).removeprefix("Value error, ").replace(" or Input should be ", " or ")
    return f"{dotted}: found {first['input']!r}; {message[:1].lower()}{message[1:]}"


def written_path(values: Any, path: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The part of pydantic's path that stands in the values; the rest names members of a union."""
    for depth, part in enumerate(path):
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            return path[:depth]
    return path


def keys_of(model: type[BaseModel]) -> str:
    """The model's keys, comma-separated."""
    return ", ".join(model.model_fields)


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
