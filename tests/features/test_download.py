"""Errors of the hub, the network and the readers during a download: one line with stage and name."""

import errno
import importlib
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import requests
import timm
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)
from safetensors import SafetensorError

from usseg.pipeline.errors import WeightsError
from usseg.stages.features.networks import load_vit

NAME = "vit_small_patch16_224.dino"
# The hub's HTTP client is another package from one of its versions to the next.
CLIENT = importlib.import_module(HfHubHTTPError.__mro__[1].__module__.partition(".")[0])
ERRORS = [
    OSError(errno.ENETUNREACH, "Network is unreachable"),
    OSError("Consistency check failed: file should be of size 87 but has size 12"),
    ConnectionError("connection reset by peer"),
    TimeoutError(),
    requests.exceptions.ConnectionError("max retries exceeded\nwith url"),
    *(
        getattr(CLIENT, name)("peer closed connection without sending complete message body")
        for name in ("ConnectError", "ReadError", "ReadTimeout", "RemoteProtocolError")
        if hasattr(CLIENT, name)
    ),
    LocalEntryNotFoundError("we cannot find the requested files in the local cache"),
    OfflineModeIsEnabled("offline mode is enabled"),
    EntryNotFoundError("404"),
    HfHubHTTPError("503 Server Error", response=Mock()),
    GatedRepoError("access is restricted", response=Mock()),
    SafetensorError("Error while deserializing header: incomplete metadata, file not fully covered"),
    EOFError("Ran out of input"),
    RuntimeError("PytorchStreamReader failed reading zip archive: failed finding central directory"),
]


def failing(error: Exception) -> Any:
    def create_model(*args: Any, **options: Any) -> None:
        raise error

    return create_model


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_failed_download_is_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(timm, "create_model", failing(error))
    with pytest.raises(
        WeightsError, match=rf"^features\.options\.name: the weights of {NAME} could not be .*local file"
    ) as found:
        load_vit(NAME, weights=None, posembed="auto")
    assert "\n" not in str(found.value)
    assert "()" not in str(found.value)


def test_an_interrupted_download_loses_and_publishes_nothing(finished_project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = finished_project.files()
    finished_project.set({"features.backbone": "vit", "features.options.name": NAME})
    monkeypatch.setattr(timm, "create_model", failing(ConnectionError("interrupted")))
    with pytest.raises(WeightsError, match="interrupted"):
        finished_project.run("features")
    assert finished_project.files() == before


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("vit_smal_patch16_224", r"timm has no model 'vit_smal_patch16_224'"),
        ("vit_small_patch16_224.dinoo", r"timm has no weights for '.*dinoo'; names like it: vit_small_patch.*\."),
        ("resnet18.a1_in1k", r"resnet18\.a1_in1k is no plain vision transformer; a ViT with a class token is needed"),
    ],
)
def test_backbones_that_timm_cannot_give(name: str, line: str) -> None:
    with pytest.raises(WeightsError, match=rf"^features\.options\.name: {line}"):
        load_vit(name, weights=None, posembed="auto")


@pytest.mark.parametrize("name", ["resnet18", "swin_tiny_patch4_window7_224"])
def test_a_model_that_is_no_vit(tmp_path: Path, dino_state, name: str) -> None:
    import torch

    torch.save(dino_state, tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match=f"{name} is no plain vision transformer"):
        load_vit(name, weights=tmp_path / "weights.pth", posembed="auto")
