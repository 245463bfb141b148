"""dvc.yaml says what the stages declare: inputs, functions that they call, and the code behind them."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from usseg.pipeline.format import FORMAT
from usseg.pipeline.provenance import SOURCES, sources
from usseg.pipeline.stage import Input, Stage
from usseg.stages import STAGES

ROOT = Path(__file__).resolve().parents[2]
ENTRIES: dict[str, Any] = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
FIT = "${cluster.fit_split}"
# DVC cannot choose inputs by params but by the param itself: segments or assign.
BY_PARAM = {
    "artifacts/${refine.source}/${key}.zarr": ["artifacts/segments/${key}.zarr", "artifacts/assign/${key}.zarr"]
}


def entry(name: str) -> dict[str, Any]:
    return ENTRIES[name].get("do", ENTRIES[name])


def artifacts_of(stage: Stage, item: Input) -> list[str]:
    """The deps for one input."""
    if item.split == "all":
        return [f"artifacts/{item.stage}"]
    split = FIT if item.split == "fit" or stage.scope == "fit" else "${key}"
    path = f"artifacts/{item.stage}/{split}.zarr"
    return [f"{path}/id", f"{path}/checksum"] if item.stage == "index" and not item.labels else [path]


def declared(stage: Stage) -> set[str]:
    code = {f"stages/{name}" for name in (stage.name, *(item.stage for item in stage.inputs if item.calls))}
    return code.union(*(artifacts_of(stage, item) for item in stage.inputs))


def written(name: str) -> set[str]:
    found = {part for path in entry(name)["deps"] for part in BY_PARAM.get(path, [path])}
    return found - {f"artifacts/needed/{name}", "${index.root}"}


@pytest.mark.parametrize("name", STAGES)
def test_the_deps_are_what_the_stage_declares(name: str) -> None:
    assert written(name) == declared(STAGES[name])


@pytest.mark.parametrize("name", STAGES)
def test_the_params_are_those_of_the_stage_and_the_format(name: str) -> None:
    params = entry(name)["params"]
    assert {"pipeline/format.py": ["FORMAT"]} in params
    if name == "index":
        assert {f"index.{key}" for key in STAGES[name].params.model_fields} - {"index.splits"} <= {*params[1:]}
        assert "index.splits.${key}" in params
    else:
        assert name in params
    if any(item.labels for item in STAGES[name].inputs):
        assert {"index.classes", "index.label_values", "index.ignore"} <= {
            one for one in params if isinstance(one, str)
        }


@pytest.mark.parametrize("name", [*STAGES, "needed"])
def test_no_stage_depends_on_the_files_of_the_plumbing(name: str) -> None:
    assert not [path for path in entry(name)["deps"] if path.startswith("pipeline")]


def test_dvc_reads_the_format_as_python_does() -> None:
    from dvc.utils.serialize import load_py

    assert load_py(str(ROOT / "pipeline/format.py")) == {"FORMAT": FORMAT}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_calls_only_what_is_offered_and_nothing_is_offered_for_nobody(name: str) -> None:
    stage = STAGES[name]
    for item in stage.inputs:
        assert set(item.calls) <= set(STAGES[item.stage].offers)
    called = {call for other in STAGES.values() for item in other.inputs if item.stage == name for call in item.calls}
    assert called == set(stage.offers)


def test_a_stage_folder_holds_sources_only() -> None:
    """Another kind of file would be in no cache key: add its suffix to `SOURCES` and to .dvcignore."""
    found = {path for path in (ROOT / "stages").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert found == set(sources(ROOT / "stages"))
    assert {line for line in (ROOT / ".dvcignore").read_text().split() if line.startswith("!/stages/**/*")} == {
        f"!/stages/**/*{suffix}" for suffix in SOURCES
    }


def test_dvc_passes_over_names_that_it_cannot_write_down() -> None:
    """It ends in "surrogates not allowed" where a file below index.root has a name that is not UTF-8."""
    from pathspec import PathSpec

    ignored = PathSpec.from_lines("gitignore", (ROOT / ".dvcignore").read_text(encoding="utf-8").splitlines())
    assert ignored.match_file("data/caf\udce9.jpg")
    assert ignored.match_file("data/d\udcffr/a.jpg")
    assert not any(ignored.match_file(f"data/{name}") for name in ("a.jpg", "é.jpg", "写真/木.png", "😀 [1].tif"))
