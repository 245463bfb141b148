"""Every stage that computes on a GPU, on a simulated and on a real GPU, compared with the CPU."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from usseg.pipeline.methods import on_cpu
from usseg.pipeline.stage import no_gpu
from usseg.stages import STAGES
from usseg.stages.cluster.methods import abc
from usseg.stages.eigen import solvers

VIT = {"features.backbone": "checkpoint", "features.options": {"weights": "weights.pth", "num_heads": 3}}
CLOSE = {"rtol": 0, "atol": 1e-4}


@pytest.fixture
def project(tiny_project, dino_state, save_image, draw_photo):
    """The tiny project by a transformer of our own, with one image of another size."""
    save_image(tiny_project.path / "data/images/train/wide.png", draw_photo(7, 50, 90))
    save_image(tiny_project.path / "data/labels/train/wide.png", np.zeros((50, 90), np.uint8))
    torch.save(dino_state, tiny_project.path / "weights.pth")
    tiny_project.set(VIT)
    tiny_project.run("index")
    return tiny_project


def arrays_of(artifact) -> dict[str, np.ndarray]:
    arrays = {name: artifact[name] for name in artifact.attrs["arrays"]}
    return {name: getattr(array, "pixels", array)[:] for name, array in arrays.items()}


@pytest.fixture
def check_alike(project, gpu):
    """Run a stage on either device, the GPU last, and compare the artifacts up to rounding."""

    def check(stage: str, **machine: int) -> None:
        here = arrays_of(project.run(stage))
        (project.path / f"artifacts/{stage}/train.run.json").unlink()
        with gpu(**machine):
            there = arrays_of(project.run(stage, device="cuda:0", batch_size=3))
        assert '"device": "cuda:0"' in (project.path / f"artifacts/{stage}/train.run.json").read_text()
        for values in (here, there):
            if "eigenvectors" in values:  # whose sign is a matter of rounding where half of the tokens are positive
                values["eigenvectors"] = np.abs(values["eigenvectors"])
        for name, values in here.items():
            close = {"rtol": 1e-3, "atol": 1e-4} if values.dtype == np.float16 else CLOSE  # one step of float16 is 1e-3
            np.testing.assert_allclose(there[name], values, **close, err_msg=f"{stage}: {name}")

    return check


def test_the_simulated_gpu_refuses_what_a_gpu_refuses(simulated_gpu) -> None:
    with simulated_gpu():
        there = torch.zeros(3, device="cuda")
        assert there.device == torch.device("cuda:0")
        assert (there + 1).tolist() == [1, 1, 1]
        assert torch.ones(3).to("cuda:0")[torch.tensor([0, 2])].cpu().tolist() == [1, 1]
        for mistake in (
            lambda: there + torch.zeros(3),
            lambda: torch.zeros(3)[there.long()],
            lambda: torch.cat([there, there.cpu()]),
        ):
            with pytest.raises(RuntimeError, match="expected all tensors on one device"):
                mistake()
        with pytest.raises(TypeError, match="can't convert"):
            there.numpy()


@pytest.mark.parametrize(
    "edits",
    [{}, {"features.options.attention": True}, {"features.options.facet": "token"}, {"features.dtype": "float16"}],
)
def test_features(project, check_alike, edits: dict[str, Any]) -> None:
    project.set(edits)
    check_alike("features")


def test_a_transformer_is_loaded_once_a_device(project, gpu, monkeypatch) -> None:
    from usseg.stages.features import networks

    loaded = []
    load = networks.load_checkpoint
    monkeypatch.setattr(
        networks, "load_checkpoint", lambda path, **options: loaded.append(options["device"]) or load(path, **options)
    )
    monkeypatch.setattr("usseg.pipeline.layout.BLOCK", 2)
    with gpu():
        project.run("features", device="cuda:0")
    assert loaded == ["cpu", "cuda:0"]


@pytest.mark.parametrize(
    "edits",
    [
        {},
        {"eigen.options.solver": "block_lanczos"},
        {"eigen.options.solver": "batched", "eigen.affinity": "binary"},
        {"eigen.options.color_weight": 10.0, "eigen.options.solver": "block_lanczos"},
        {"eigen.options.color_weight": 1.0, "eigen.options.color": "rw"},
        {"eigen.options.laplacian": "plain"},
        {"eigen.affinity": "pca"},
        {"eigen.affinity": "simsam_released"},
        {"eigen.affinity": "simsam", "eigen.options": {"epochs": 2}},
        {"eigen.affinity": "simsam", "eigen.options": {"epochs": 1, "batch": 7}},
    ],
)
def test_eigenpairs(project, check_alike, edits: dict[str, Any]) -> None:
    project.set(edits)
    project.run("features")
    check_alike("eigen")


def test_the_first_call_of_linear_algebra_on_a_gpu_is_made_by_one_thread(monkeypatch) -> None:
    """PyTorch loads its linear algebra at the first call on a GPU, and fails where two threads make it at once."""
    inside, calls = [], []

    def eigh(matrix: torch.Tensor) -> None:
        inside.append(1)
        time.sleep(0.05)
        calls.append(len(inside))
        inside.pop()

    monkeypatch.setattr("torch.linalg.eigh", eigh)
    monkeypatch.setattr("torch.eye", lambda side, device: torch.zeros(side, side))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(solvers.load_linear_algebra, ["cuda:7"] * 4))
    assert calls == [1]


@pytest.mark.parametrize("memory", [8 << 30, 0])
def test_concepts(project, check_alike, memory: int) -> None:
    """With room for all tokens and without."""
    options = {"epochs": 3, "prototypes": 3, "updates": 1, "dropout": 0.0}  # each device draws its own dropout
    project.set({"segments.method": "acg", "segmenter.options": options})
    project.run("features")
    check_alike("segmenter", memory=memory)
    check_alike("segments")


@pytest.mark.parametrize("edits", [{}, {"consistency": 0.5}, {"augment": True}])
def test_sempart(project, check_alike, edits: dict[str, Any]) -> None:
    options = {"epochs": 2, "width": 4, "batch": 3, **edits}
    chain = {"segmenter.method": "sempart", "segments.method": "sempart", "segments.background": "border"}
    project.set({**chain, "segmenter.options": options, "refine.source": "segments", "evaluate.method": "objects"})
    project.set({"refine.method": "sempart", "refine.foreground": True})
    project.run("features")
    check_alike("segmenter")
    check_alike("segments")
    check_alike("refine")


@pytest.mark.parametrize("method", ["crop", "masked_attention", "masked_image"])
def test_crops(project, check_alike, method: str) -> None:
    project.set({"crops.method": method, "features.options.attention": method == "masked_image"})
    for stage in ("features", "eigen", "segments"):
        project.run(stage)
    check_alike("crops")


def test_attention_based_clustering_goes_on_from_a_checkpoint(gpu, checkpoints) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    options = abc.Options(epochs=3, batch=16, dropout=0.0)  # each device draws its own dropout
    common = {"k": 3, "seed": 0, "options": options}
    with gpu():
        whole = abc.fit(rows, np.ones(40), **common, device="cuda:0", checkpoint=(kept := checkpoints()))
        again = abc.fit(rows, np.ones(40), **common, device="cuda:0", checkpoint=checkpoints(kept.kept[0]))
    here = abc.fit(rows, np.ones(40), **common)
    np.testing.assert_array_equal(whole.centers, again.centers)
    np.testing.assert_allclose(whole.centers, here.centers, **CLOSE)


@pytest.mark.parametrize("memory", [8 << 30, 0])
@pytest.mark.parametrize("start", ["pca", "kmeans"])
def test_prototypes_by_em(project, check_alike, memory: int, start: str) -> None:
    """With room for all tokens and without."""
    project.set({"cluster.method": "primaps_em", "cluster.rows": "tokens", "segments.method": "primaps"})
    project.set({"cluster.k": 3, "cluster.options": {"start": start, "init_epochs": 1, "epochs": 3, "batch": 3}})
    project.set({"segments.background": "border"})
    for stage in ("features", "segments"):
        project.run(stage)
    check_alike("cluster", memory=memory)


def test_no_stage_is_forgotten() -> None:
    """Every stage that may compute on a GPU is tested above."""
    by_method = {
        name
        for name, stage in STAGES.items()
        if stage.methods is not None and any(entry.gpu is not on_cpu for entry in stage.methods().values())
    }
    assert by_method | {name for name, stage in STAGES.items() if stage.gpu is not no_gpu} == {
        "features", "eigen", "segmenter", "segments", "crops", "cluster", "refine",
    }  # fmt: skip
