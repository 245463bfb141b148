"""A worker with other software than the command refuses to compute."""

import pytest

from usseg.pipeline import blocks, provenance
from usseg.pipeline.errors import WorkersError
from usseg.pipeline.provenance import refuse_other_software, software
from usseg.stages import STAGES


def test_software_names_versions_and_the_code_of_every_stage_and_shared_package() -> None:
    found = software(STAGES)
    packages = {*STAGES, *(package for stage in STAGES.values() for package in stage.shares)}
    assert packages > set(STAGES)
    assert {"numpy", "torch", "code of pipeline", *(f"code of stages/{name}" for name in packages)} == set(found)
    refuse_other_software(found, dict(found))


@pytest.mark.parametrize("name", ["numpy", "torch", "code of pipeline", "code of stages/eigen"])
def test_another_worker_is_refused_by_name(name: str) -> None:
    wanted = software(STAGES)
    with pytest.raises(WorkersError, match=rf"^the worker on \S+ has {name} other, this command has {wanted[name]}; "):
        refuse_other_software(wanted, {**wanted, name: "other"})
    del wanted[name]
    with pytest.raises(WorkersError, match="this command has None"):
        refuse_other_software(wanted, software(STAGES))


def test_a_block_is_refused_before_it_is_computed(tiny_project, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_project.run("index")
    calls = []

    def other(stages: object) -> dict[str, str]:
        calls.append(stages)
        return {"numpy": "1.0" if len(calls) == 1 else "2.0"}

    monkeypatch.setattr(blocks, "software", other)
    with pytest.raises(WorkersError, match=r"has numpy 2\.0, this command has 1\.0"):
        tiny_project.run("features")
    assert not list((tiny_project.path / "artifacts/features").glob(".train.*.partial/done/0*"))
    assert provenance.software is software
