"""dvc.yaml says what the stages declare: plans, inputs, outputs."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from usseg.pipeline.plan import LINKS, SOURCES, sources
from usseg.pipeline.stage import Input, Stage
from usseg.stages import STAGES

ROOT = Path(__file__).resolve().parents[2]
ENTRIES: dict[str, Any] = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
SPLIT = {"each": "${key}", "fit": "${index.fit_split}", "all": "all"}


def entry(name: str) -> dict[str, Any]:
    return ENTRIES[name].get("do", ENTRIES[name])


def artifacts_of(stage: Stage, item: Input) -> list[str]:
    """The deps for one input."""
    if item.split == "all":
        return [f"artifacts/{item.stage}"]
    split = SPLIT["fit"] if item.split == "fit" else SPLIT[stage.scope]
    if stage.scope == "all":
        return [f"artifacts/{item.stage}"]
    path = f"artifacts/{item.stage}/{split}.zarr"
    return [f"{path}/id", f"{path}/checksum"] if item.stage == "index" and not item.labels else [path]


@pytest.mark.parametrize("name", STAGES)
def test_the_deps_are_the_plan_and_what_the_stage_declares(name: str) -> None:
    stage = STAGES[name]
    plan = f"artifacts/plan/{name}/{SPLIT[stage.scope]}.json"
    inputs = {path for item in stage.inputs for path in artifacts_of(stage, item)}
    photos = {"${index.root}"} if name == "index" else set()
    assert set(entry(name)["deps"]) == {plan} | inputs | photos


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_has_its_command_and_its_artifact(name: str) -> None:
    stage = STAGES[name]
    split = SPLIT[stage.scope]
    assert entry(name)["cmd"] == f"usseg stage {name}" + ("" if stage.scope == "all" else f" --split {split}")
    assert f"artifacts/{name}/{split}.zarr" in entry(name)["outs"]
    assert ("foreach" in ENTRIES[name]) == (stage.scope == "each")


def test_the_stages_stand_in_order_behind_the_plan() -> None:
    assert list(ENTRIES) == ["plan", *STAGES]
    assert entry("plan")["deps"] == ["params.yaml", *(f".usseg/{name}" for name in LINKS)]
    for name, target in LINKS.items():
        assert (ROOT / ".usseg" / name).resolve() == ROOT / target


def test_a_reader_sees_the_pipeline_at_once() -> None:
    assert len((ROOT / "dvc.yaml").read_text().splitlines()) <= 110


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
    patterns = {line for line in (ROOT / ".dvcignore").read_text().split() if line.startswith("!/.usseg/stages/**/*")}
    assert patterns == {f"!/.usseg/stages/**/*{suffix}" for suffix in SOURCES}


def test_dvc_passes_over_names_that_it_cannot_write_down() -> None:
    """It ends in "surrogates not allowed" where a file below index.root has a name that is not UTF-8."""
    from pathspec import PathSpec

    ignored = PathSpec.from_lines("gitignore", (ROOT / ".dvcignore").read_text(encoding="utf-8").splitlines())
    assert ignored.match_file("data/caf\udce9.jpg")
    assert ignored.match_file("data/d\udcffr/a.jpg")
    assert not any(ignored.match_file(f"data/{name}") for name in ("a.jpg", "é.jpg", "写真/木.png", "😀 [1].tif"))
