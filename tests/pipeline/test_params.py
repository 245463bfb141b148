import time
from typing import Literal

import pytest
from pydantic import Field

from usseg.pipeline.errors import ParamsError
from usseg.pipeline.params import Params, parse_section, read_params


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
    assert parse_section(GOOD, "eigen", EigenLike).k == 4


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
        parse_section({**GOOD, **change}, "eigen", EigenLike)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (
            {"parts": {}, "number": "gpa"},
            r"^params\.yaml: s\.number: found 'gpa'; input should be a valid integer or 'gap'$",
        ),
        (
            {"parts": {"a": {"imags": "x"}}, "number": 1},
            r"s\.parts\.a\.imags: unknown key; did you mean 'images'\? \(known: images, labels\)$",
        ),
        ({"parts": {"a": {"labels": None}}, "number": 1}, r"s\.parts\.a\.images: missing$"),
        (
            {"parts": {"a": {"images": 1}}, "number": 1},
            r"s\.parts\.a\.images: found 1; input should be a valid string$",
        ),
    ],
)
def test_nested_keys_and_unions(values: dict[str, object], line: str) -> None:
    with pytest.raises(ParamsError, match=line):
        parse_section(values, "s", Splits)


def test_a_key_that_is_not_written_has_its_default() -> None:
    assert parse_section({"k": 4}, "eigen", EigenLike) == EigenLike(k=4, color_weight=0.0, solver="auto")


def test_a_key_without_a_default_is_missing() -> None:
    with pytest.raises(ParamsError, match=r"s\.parts: missing$"):
        parse_section({"number": 4}, "s", Splits)


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


def bomb(width: int, depth: int) -> str:
    """Each line repeats the one before `width` times."""
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, depth)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [1,", r"not valid YAML: .*\(line 1, column \d+\)"),
        ("a:\n\t- 1", r"not valid YAML: .*'\\t'.*\(line 2, column 1\)"),
        ("a: 1\nb: {k: 1, k: 2}", r"not valid YAML: .*duplicate key \"k\".*\(line 2, column \d+\)"),
        ("a: 1\na: 2", r"not valid YAML: .*duplicate key \"a\""),
        ("a: \x00", "not valid YAML: .*special characters are not allowed"),
        ("a: 1\n---\nb: 2", "not valid YAML: .*another document"),
        ("a: *b", "not valid YAML: .*undefined alias 'b'"),
        ("a: !!python/object/apply:os.system [x]", "not valid YAML: could not determine a constructor for the tag"),
        ("a: !!bool maybe", "not valid YAML: "),
        ("a: 2024-13-45", "not valid YAML: month must be in"),
        ("a: " + "9" * 5000, "not valid YAML: Exceeds the limit"),
        ("", "found NoneType; it must hold one section per stage"),
        ("just words", "found str; it must hold"),
        ("1: {k: 2}", 'found the key 1; a key is a word: write it in quotes, as in "1"'),
        ("a: {splits: {2024: x}}", r"params\.yaml: a\.splits: found the key 2024; a key is a word"),
        ("a: [{true: x}]", r"params\.yaml: a\.0: found the key True"),
        ("a: {null: x}", "found the key None"),
        ("a: {? [b, c] : x}", r"found the key \('b', 'c'\)"),
        ("a: " + "[" * 5000, "nested deeper than 32"),
        ("a: " + "{b: " * 5000, "nested deeper than 32"),
        ("\n".join(" " * depth + f"k{depth}:" for depth in range(200)), "nested deeper than 32"),
        (bomb(9, 9), "more than 100000 values, aliases written out"),
        (bomb(2, 40), "more than 100000 values, aliases written out"),
        ("a: &a [*a]", r"the alias \*a stands inside of itself"),
        ("a: &a {b: {c: *a}}", r"the alias \*a stands inside of itself"),
        ("a: " + "x" * (256 << 10), "found more than 256 KiB"),
        ("# " + "x" * (1 << 20), "found more than 256 KiB"),
    ],
)
def test_what_is_no_params_file_is_one_line_at_once(tmp_path, text: str, line: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    started = time.process_time()
    with pytest.raises(ParamsError, match=line) as error:
        read_params(tmp_path)
    assert time.process_time() - started < 5
    assert str(error.value).startswith("params.yaml: ")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


def test_a_byte_order_mark_and_an_ordinary_alias_are_read(tmp_path) -> None:
    (tmp_path / "params.yaml").write_bytes(b"\xef\xbb\xbfa: &a {k: 1}\nb: *a\nc: {<<: *a, l: 2}\r\n")
    assert read_params(tmp_path) == {"a": {"k": 1}, "b": {"k": 1}, "c": {"k": 1, "l": 2}}


def test_a_folder_of_that_name_is_no_file(tmp_path) -> None:
    (tmp_path / "params.yaml").mkdir()
    with pytest.raises(ParamsError, match=r"params\.yaml: Is a directory; a text file that you may read is needed"):
        read_params(tmp_path)


def test_a_misspelt_key_goes_before_a_missing_one() -> None:
    values = {"k": 4, "color_weight": 1, "solvr": "dense"}
    with pytest.raises(ParamsError, match=r"eigen\.solvr: unknown key; did you mean 'solver'\?"):
        parse_section(values, "eigen", EigenLike)
    with pytest.raises(ParamsError, match=r"s\.parts\.a\.lables: unknown key; did you mean 'labels'\?"):
        parse_section({"parts": {"a": {"images": "x", "lables": "y"}}, "number": 1}, "s", Splits)


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(ParamsError) as error:
        parse_section({**GOOD, "k": "x" * 100_000}, "eigen", EigenLike)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_are_finite(value: float) -> None:
    with pytest.raises(
        ParamsError, match=r"eigen\.color_weight: found (nan|inf|-inf); input should be a finite number"
    ):
        parse_section({**GOOD, "color_weight": value}, "eigen", EigenLike)
