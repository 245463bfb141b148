from typing import Literal

import pytest
from pydantic import Field

from pipeline.errors import ParamsError
from pipeline.params import Params, parse_section, read_params


class EigenLike(Params):
    k: int = Field(15, ge=1)
    color_weight: float = 0.0
    solver: str = "auto"


class Part(Params):
    images: str
    labels: str | None = None


class Splits(Params):
    parts: dict[str, Part]
    number: int | Literal["gap"] = 3


GOOD = {"k": 4, "color_weight": 1, "solver": "dense"}


def test_valid_section() -> None:
    assert parse_section({"eigen": GOOD}, "eigen", EigenLike).k == 4


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"k": 0}, r"params\.yaml: eigen\.k: found 0; input should be greater than or equal to 1"),
        ({"k": "4"}, r"eigen\.k: found '4'; input should be a valid integer"),
        ({"kk": 3}, r"eigen\.kk: unknown key; did you mean 'k'\? \(known: k, color_weight, solver\)"),
    ],
)
def test_refused_values_name_the_key(change: dict[str, object], line: str) -> None:
    with pytest.raises(ParamsError, match=line):
        parse_section({"eigen": {**GOOD, **change}}, "eigen", EigenLike)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (
            {"parts": {}, "number": "gpa"},
            r"^params\.yaml: s\.number: found 'gpa'; input should be a valid integer or 'gap'$",
        ),
        ({"parts": {"a": {"imags": "x"}}, "number": 1}, r"s\.parts\.a\.imags: unknown key; did you mean 'images'\?$"),
        ({"parts": {"a": {"labels": None}}, "number": 1}, r"s\.parts\.a\.images: missing$"),
        (
            {"parts": {"a": {"images": 1}}, "number": 1},
            r"s\.parts\.a\.images: found 1; input should be a valid string$",
        ),
    ],
)
def test_nested_keys_and_unions(values: dict[str, object], line: str) -> None:
    with pytest.raises(ParamsError, match=line):
        parse_section({"s": values}, "s", Splits)


def test_missing_key_and_section() -> None:
    with pytest.raises(ParamsError, match=r"eigen\.solver: missing; its default is 'auto'"):
        parse_section({"eigen": {"k": 4, "color_weight": 0.0}}, "eigen", EigenLike)
    with pytest.raises(ParamsError, match="eigen: found None"):
        parse_section({}, "eigen", EigenLike)


def test_unreadable_file(tmp_path) -> None:
    with pytest.raises(ParamsError, match="no params.yaml in"):
        read_params(tmp_path)
    (tmp_path / "params.yaml").write_text("a: [1,")
    with pytest.raises(ParamsError, match="not valid YAML"):
        read_params(tmp_path)
    (tmp_path / "params.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(ParamsError, match="not valid YAML"):
        read_params(tmp_path)
    (tmp_path / "params.yaml").write_text("- a\n")
    with pytest.raises(ParamsError, match="found list"):
        read_params(tmp_path)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (".nan", r"params\.yaml: eigen\.tau: found nan; a finite number is needed$"),
        (".inf", r"eigen\.tau: found inf;"),
        ("-.INF", r"eigen\.tau: found -inf;"),
        ("1.0e+999", r"eigen\.tau: found inf;"),
        ("{a: {b: [1, {c: .NaN}]}}", r"eigen\.tau\.a\.b\.1\.c: found nan;"),
        ("[&a [0.5, .inf], *a]", r"eigen\.tau\.0\.1: found inf;"),
    ],
)
def test_a_number_that_is_not_finite_is_refused_by_key(tmp_path, value: str, line: str) -> None:
    (tmp_path / "params.yaml").write_text(f"index: {{a: 1.5}}\neigen: {{k: 3, tau: {value}}}\n")
    with pytest.raises(ParamsError, match=line):
        read_params(tmp_path)


def test_aliases_do_not_multiply_the_search(tmp_path) -> None:
    levels = "".join(f"  l{i + 1}: &l{i + 1} [{', '.join([f'*l{i}'] * 9)}]\n" for i in range(40))
    (tmp_path / "params.yaml").write_text(f"eigen:\n  l0: &l0 [1.0]\n{levels}")
    assert len(read_params(tmp_path)["eigen"]) == 41


def test_a_section_given_by_code_takes_no_infinite_number_either() -> None:
    with pytest.raises(ParamsError, match=r"eigen\.color_weight: found nan; input should be a finite number"):
        parse_section({"eigen": {**GOOD, "color_weight": float("nan")}}, "eigen", EigenLike)
