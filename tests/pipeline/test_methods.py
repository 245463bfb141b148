"""Tables of methods: their entries, and the entries of installed packages."""

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from pydantic import ValidationError

from usseg.pipeline import methods
from usseg.pipeline.errors import ParamsError
from usseg.pipeline.methods import Method, Methods
from usseg.pipeline.plan import plan_of
from usseg.pipeline.project import Project
from usseg.stages import STAGES

TABLES = [name for name, stage in STAGES.items() if stage.methods is not None]
ENTRIES = [(name, method) for name in TABLES for method in STAGES[name].methods()]
PLUGIN = """
from usseg.pipeline.methods import NoOptions
from usseg.stages.segments.method import SegmentsMethod

def halves(tokens, options):
    import numpy as np
    h, w = tokens.grid
    return np.tile(np.arange(w) >= w // 2, (h, 1)).astype(np.int64)

METHOD = SegmentsMethod(summary="Left and right.", call=halves)
WRONG = 3
"""


def test_every_stage_that_offers_a_choice_has_a_table() -> None:
    assert [*("features", "eigen", "segmenter", "segments", "crops", "cluster", "refine", "evaluate")] == TABLES
    for name in TABLES:
        assert STAGES[name].methods().stage == name


@pytest.mark.parametrize(("stage", "name"), ENTRIES)
def test_an_entry_says_what_the_rest_of_usseg_has_to_know(stage: str, name: str) -> None:
    table = STAGES[stage].methods()
    entry = table[name]
    assert isinstance(entry, table.kind)
    assert entry.summary.endswith((".", ")."))
    assert len(entry.summary) <= 120
    assert entry.call.__module__.startswith(f"usseg.stages.{stage}.")
    required = [key for key, field in entry.options.model_fields.items() if field.is_required()]
    assert required in ([], ["weights"], ["name"])  # of backbones that are nothing without


@pytest.mark.parametrize(("stage", "name"), ENTRIES)
def test_every_option_has_a_meaning_and_bounds(stage: str, name: str) -> None:
    options = STAGES[stage].methods()[name].options
    for key, field in options.model_fields.items():
        assert field.description or key in ("seed", "epochs", "lr", "batch"), f"{stage}.{name}.{key}"
    with pytest.raises(ValidationError):
        options.model_validate({"no_such_option": 1})


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed package with an entry point for the stage segments."""
    file = tmp_path / "their_methods.py"
    file.write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    points = [
        EntryPoint("halves", "their_methods:METHOD", "usseg.segments"),
        EntryPoint("number", "their_methods:WRONG", "usseg.segments"),
        EntryPoint("gone", "their_methods:MISSING", "usseg.segments"),
        EntryPoint("kmeans", "their_methods:METHOD", "usseg.segments"),
    ]
    found = lambda group: [point for point in points if point.group == group]  # noqa: E731
    monkeypatch.setattr(methods, "entry_points", found)
    table = STAGES["segments"].methods()
    fresh = Methods(table.stage, table.kind, table.package, table.own)
    monkeypatch.setattr("usseg.stages.segments.methods.METHODS", fresh)
    yield file
    sys.modules.pop("their_methods", None)


def test_an_installed_package_adds_a_method(installed: Path, finished_project) -> None:
    finished_project.set({"segments.method": "halves"})
    found = finished_project.run("segments", "val")
    assert found["num_segments"][:].tolist() == [2, 2]
    assert "halves" in STAGES["segments"].methods()
    assert STAGES["segments"].methods()["kmeans"].call.__module__.startswith("usseg.")


def test_the_code_of_an_installed_method_is_in_the_cache_key(installed: Path, finished_project) -> None:
    finished_project.set({"segments.method": "halves"})
    before = plan_of(Project.open(STAGES, finished_project.path), "segments", "val")
    assert "segments method halves" in before["code"]
    installed.write_text(PLUGIN + "\n# a comment\n")
    assert plan_of(Project.open(STAGES, finished_project.path), "segments", "val") != before


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "number",
            r"method 'number' of segments, entry point their_methods:WRONG: found int; a SegmentsMethod is needed",
        ),
        ("gone", r"method 'gone' of segments, .*AttributeError: .*MISSING.*; repair or remove that package"),
        ("halfs", r"params\.yaml: segments\.method: found 'halfs'; no such method; did you mean 'halves'\?"),
    ],
)
def test_an_installed_method_that_is_none_is_one_line(name: str, line: str, installed: Path, finished_project) -> None:
    finished_project.set({"segments.method": name})
    with pytest.raises(ParamsError, match=line):
        Project.open(STAGES, finished_project.path)


def test_a_table_is_a_mapping_of_its_names() -> None:
    table = Methods("segments", Method, "usseg.stages.segments.methods", ("spectral", "kmeans"))
    assert list(table) == ["spectral", "kmeans"]
    assert len(table) == 2
    assert table["kmeans"].options.__name__ == "Options"
    with pytest.raises(KeyError):
        table["nothing"]
