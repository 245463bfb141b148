"""The stages that compute on the requested device, and their number of workers."""

import json

import pytest
from dask.system import CPU_COUNT

from usseg.pipeline.errors import ParamsError
from usseg.pipeline.execution import Execution
from usseg.pipeline.machine import execution_of
from usseg.pipeline.project import Project
from usseg.pipeline.runner import placed
from usseg.stages import STAGES


@pytest.mark.parametrize(
    ("asked", "gpu", "device", "workers"),
    [
        (0, True, "cuda:1", 1),
        (0, False, "cpu", CPU_COUNT),
        (3, True, "cuda:1", 3),
        (3, False, "cpu", 3),
    ],
)
def test_workers(tmp_path, asked: int, gpu: bool, device: str, workers: int | None) -> None:
    found = placed(Execution("cuda:1", workers=asked), gpu=gpu)
    assert (found.device, found.workers) == (device, workers)


def test_stages_without_work_for_a_gpu_run_on_the_cpu_whatever_is_asked(tiny_project) -> None:
    """With `lowlevel` patches and the default methods that is all but eigen; this machine may have no GPU."""
    splits = {"train": {"images": "images/train/*", "labels": "labels/train/*"}}
    tiny_project.set({"cluster.method": "ot", "index.splits": splits})
    for name in STAGES:
        split = "all" if STAGES[name].scope == "all" else "train"
        options = {} if name == "eigen" else {"device": "cuda:0", "workers": 1}
        tiny_project.run(name, split, **options)
        if name == "segmenter":
            continue  # left empty
        note = json.loads((tiny_project.path / f"artifacts/{name}/{split}.run.json").read_text())
        assert note["device"] == "cpu", name


@pytest.mark.parametrize(
    ("stage", "edits"),
    [
        ("features", {"features.backbone": "vit", "features.options.name": "vit_small_patch16_224.dino"}),
        ("eigen", {}),
        ("segmenter", {}),
        ("segments", {"segments.method": "acg"}),
        ("cluster", {"cluster.method": "abc"}),
        ("cluster", {"cluster.method": "primaps_em", "cluster.rows": "tokens"}),
    ],
)
def test_others_run_where_they_are_asked_to(stage: str, edits: dict[str, str], tiny_project) -> None:
    tiny_project.set({"crops.method": "mean", **edits})
    project = Project.open(STAGES, tiny_project.path)
    assert STAGES[stage].uses_device(project.params[stage], None)


def test_workers_elsewhere_have_devices_of_their_own(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    asked = ("cuda", 8, 0)
    assert execution_of(*asked, "tcp://host:8786", stage=STAGES["features"]).device == "cuda:0"
    for scheduler, stage in ((None, "features"), ("tcp://host:8786", "segmenter")):
        with pytest.raises(ParamsError, match="this machine has 0 CUDA devices"):
            execution_of(*asked, scheduler, stage=STAGES[stage])
