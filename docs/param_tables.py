"""Tables in Markdown, and the params of a pydantic model as one."""

import inspect
import json
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

NUMBERS = {int: "integer", float: "number"}
BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
Rows = Iterable[Iterable[str]]


def table(heads: Iterable[str], rows: Rows) -> str:
    """A Markdown table; a pipe in a cell is escaped."""
    lines = [list(heads), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )


def code(value: Any) -> str:
    """A value as params.yaml writes it, in a code span."""
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def plain(text: str) -> str:
    """Text in which Markdown finds no HTML and no emphasis; code spans stay."""
    pieces = text.split("`")
    last = len(pieces) - 1
    for i, piece in enumerate(pieces):
        if i % 2 == 0 or i == last:  # not between two backticks
            pieces[i] = piece.replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
    return "`".join(pieces)


def range_of(limits: list[Any]) -> str:
    """The bounds of a number in words."""
    found = {name: number(getattr(one, name)) for one in limits for name in BOUNDS if hasattr(one, name)}
    if set(found) == {"ge", "le"}:
        return f" {found['ge']} to {found['le']}"
    told = " and ".join(f"{BOUNDS[name]} {value}" for name, value in found.items())
    return f" {told}" if told else ""


def number(value: float) -> str:
    """A number as people write it."""
    return f"{int(value):,}" if value == int(value) else str(value)


def allowed(kind: Any, limits: Iterable[Any] = ()) -> str:
    """What a param may be, from its annotation and the bounds of its field."""
    origin, args = get_origin(kind), get_args(kind)
    flat = [inner for one in limits for inner in (one.metadata if isinstance(one, FieldInfo) else [one])]
    if origin is Annotated:
        return allowed(args[0], [*args[1:], *flat])
    if origin in (Union, types.UnionType):
        return " or ".join(allowed(arg, flat) for arg in args)
    if origin is Literal:
        return ", ".join(code(arg) for arg in args)
    if origin is list:
        lengths = {getattr(one, name) for one in flat for name in ("min_length", "max_length") if hasattr(one, name)}
        lengths_told = f"{' to '.join(map(str, sorted(lengths)))}, each " if lengths else ""
        return f"list of {lengths_told}{allowed(args[0])}"
    if origin is dict:
        return f"mapping of names to {allowed(args[1])}"
    if kind is type(None):
        return "`null`"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return f"a mapping of {', '.join(f'`{key}`' for key in kind.model_fields)}"
    return {int: "integer", float: "number", str: "text", bool: "`true`, `false`"}.get(kind, str(kind)) + range_of(flat)


def models_in(kind: Any) -> Iterator[type[BaseModel]]:
    """The models inside an annotation."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for arg in get_args(kind):
        yield from models_in(arg)


def fields(model: type[BaseModel], prefix: str, choices: Mapping[str, Iterable[str]]) -> Iterator[list[str]]:
    """A row for each param: key, allowed values, default, meaning.

    The keys of a mapping of models follow as `KEY.NAME.INNER`.
    """
    for key, field in model.model_fields.items():
        if key == "options" and choices:
            continue  # they belong to the method, whose page lists them
        default = "needed" if field.is_required() else code(field.get_default(call_default_factory=True))
        names = ", ".join(code(name) for name in choices.get(key, ()))
        yield [
            f"`{prefix}{key}`",
            names or allowed(field.annotation, field.metadata),
            default,
            plain(field.description or ""),
        ]
        for inner in models_in(field.annotation):
            yield from fields(inner, f"{prefix}{key}.NAME.", {})


def params_table(model: type[BaseModel], prefix: str, choices: Mapping[str, Iterable[str]] | None = None) -> str:
    """The params of a model, or the words that there are none.

    Args:
        model: of the section, or of the options of a method.
        prefix: of its keys, with the dot.
        choices: the key that names a method -> the methods.
    """
    rows = list(fields(model, prefix, choices or {}))
    return table(("key", "allowed", "default", "meaning"), rows) if rows else "None."


def prose(doc: str) -> str:
    """A docstring as Markdown: its paragraphs, and a list where it explains names one by one."""
    parts: list[str] = []
    fresh = True
    for line in inspect.cleandoc(doc).splitlines():
        text, inner = line.strip(), line.startswith(" ")
        named = re.match(r"(\w+): (.*)", text) if inner and not line.startswith("     ") else None
        if text in ("Attributes:", "Args:", "Returns:", "Raises:"):
            parts.append(f"**{text}**")
            fresh = True
        elif named:
            parts.append(f"- `{named[1]}`: {plain(named[2])}")
            fresh = False
        elif not text or fresh or text.startswith(("In: ", "Source: ")):
            parts.append(plain(text))
            fresh = not text
        else:
            parts[-1] += f" {plain(text)}"
    return "\n\n".join(part for part in parts if part)
