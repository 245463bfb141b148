"""Damaged weights of a transformer, or other content: refused by file or key, or used completely and finite."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

SEEDS = range(24)
State = dict[str, Any]


def change(state: State, rng: np.random.Generator) -> tuple[Any, str]:
    """Other content of a checkpoint, and what was done."""
    keys = sorted(state)
    key = keys[int(rng.integers(len(keys)))]
    value = state[key]
    tensors: dict[str, Any] = {
        "integers": value.to(torch.int64), "halves": value.half(), "doubles": value.double(), "complex": value.to(torch.complex64),
        "true or false": value > 0, "NaN": torch.full_like(value, float("nan")), "one infinity": value.clone().index_fill_(-1, torch.tensor([0]), float("inf")),
        "huge": value * 1e38, "tiny": value * 1e-40, "an axis more": value[None], "flat": value.flatten(), "half": value[..., : value.shape[-1] // 2],
        "empty": value[..., :0], "a number": torch.tensor(1.0), "strided": value.mT if value.ndim > 1 else value.flip(0), "a word": "weights", "nothing": None,
        "a list": [1.0, 2.0], "sparse": value.to_sparse(), "meta": value.to("meta"), "parameter": torch.nn.Parameter(value),
    }  # fmt: skip
    whole: dict[str, Any] = {
        f"no {key}": {name: one for name, one in state.items() if name != key}, "another key": {**state, "extra.weight": value},
        "all zero": {name: torch.zeros_like(one) for name, one in state.items()}, "a list of tensors": list(state.values()), "one tensor": value,
        "no keys": {}, "numbers as keys": dict(enumerate(state.values())), "nested": {"model": {"state_dict": {"teacher": state}}}, "teacher is a tensor": {"teacher": value},
        "blocks from 1": {name.replace("blocks.1.", "blocks.2.").replace("blocks.0.", "blocks.1."): one for name, one in state.items()},
        "a block too many": {**state, "blocks.x.norm1.weight": value}, "double prefix": {f"module.module.{name}": one for name, one in state.items()},
        "all constant": {name: torch.ones_like(one) for name, one in state.items()}, "half prefixed": {(f"backbone.{name}" if number % 2 else name): one for number, (name, one) in enumerate(state.items())},
    }  # fmt: skip
    if rng.random() < 0.6:
        name = list(tensors)[int(rng.integers(len(tensors)))]
        return {**state, key: tensors[name]}, f"{key}: {name}"
    name = list(whole)[int(rng.integers(len(whole)))]
    return whole[name], name


@pytest.mark.parametrize("seed", SEEDS)
def test_spoilt_weights(
    seed: int,
    class_project: Path,
    tmp_path: Path,
    copied: Callable[[Path, Path], Any],
    dino_state: State,
    spoil: Callable[..., tuple[bytes, str]],
    attempt: Callable[..., str | None],
    is_finite: Callable[[Any], bool],
) -> None:
    rng = np.random.default_rng([10, seed])
    project = copied(class_project, tmp_path)
    name = ("weights.pth", "weights.safetensors", "weights.PTH")[seed % 3]
    path = project.path / name
    content, what = change(dino_state, rng)
    if seed % 4 == 0:
        content = dino_state
    if name.endswith(".safetensors"):
        content = content if isinstance(content, dict) and all(isinstance(key, str) for key in content) else dino_state
        dense = {
            key: one.contiguous()
            for key, one in content.items()
            if isinstance(one, torch.Tensor) and one.layout == torch.strided and one.device.type == "cpu"
        }
        save_file(dense, path)
    else:
        torch.save(content, path)
    if seed % 4 == 0:
        spoilt, what = spoil(path.read_bytes(), rng)
        path.write_bytes(spoilt)
    print(f"seed {seed}: {name}: {what}")
    project.set(
        {
            "features.backbone": "checkpoint",
            "features.options": {"weights": name, "num_heads": 3},
            "features.resize": 32,
        }
    )
    if (
        attempt(lambda: project.run("features"), name, "features.options.weights", "features.options.num_heads")
        is not None
    ):
        return
    features = project.artifact("features")
    assert is_finite(features)
    assert features["patches"].shape == (3, 20, 24) or features["patches"].shape[2] in (12, 24), features[
        "patches"
    ].shape
    patches = features["patches"][:]
    assert patches.any(), "features of zeros"
