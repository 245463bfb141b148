"""`usseg init --backbone auto`: with weights in a cache, with a hub that answers, hangs, refuses, or is not asked."""

import socket
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from usseg.pipeline.params import read_params
from usseg.results import backbone_choice
from usseg.results.backbone_choice import FILES, NETWORK, PATCH, REPOSITORY

SIZE = 88_243_212
REVISION = "0" * 40


@pytest.fixture
def photos(tmp_path: Path, draw_photo: Callable[..., np.ndarray], save_image: Callable[..., Path]) -> Path:
    for number in range(3):
        save_image(tmp_path / f"photos/{number}.jpg", draw_photo(number, 60, 80))
    return tmp_path / "photos"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache of the hub that holds a file with the name of the weights."""
    folder = tmp_path / "hub" / f"models--{REPOSITORY.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text(REVISION)
    (folder / f"snapshots/{REVISION}").mkdir(parents=True)
    (folder / f"snapshots/{REVISION}/{FILES[0]}").write_bytes(b"weights")
    return tmp_path / "hub"


class Hub(BaseHTTPRequestHandler):
    """A hub that knows one file."""

    def do_HEAD(self) -> None:
        self.server.asked.append(self.path)
        known = self.path == f"/{REPOSITORY}/resolve/main/{FILES[0]}"
        self.send_response(200 if known else 404)
        for name, value in {"ETag": '"e"', "X-Repo-Commit": REVISION, "Content-Length": str(SIZE)}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked = []
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and says nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.fixture
def init(usseg_process, photos: Path) -> Callable[..., tuple[str, dict[str, Any]]]:
    """Run `usseg init` in a process of its own. Returns the line on the backbone, and params.yaml."""

    def run(*args: str, **env: str) -> tuple[str, dict[str, Any]]:
        project = photos.parent / "project"
        done = usseg_process(photos.parent, "init", "project", "photos", *args, **{"NO_PROXY": "127.0.0.1", **env})
        assert (done.returncode, done.stderr) == (0, "")
        lines = [line for line in done.stdout.splitlines() if line.startswith("backbone: ")]
        assert len(lines) == 1
        return lines[0], read_params(project)

    return run


def check_network(content: dict[str, Any]) -> None:
    assert content["features"] == {
        "backbone": "vit", "options": {"name": NETWORK, "facet": "token"}, "resize": 448, "fit": "pad",
    }  # fmt: skip
    assert content["features"]["resize"] % PATCH == 0
    assert "norm_std" not in content["cluster"]


def check_lowlevel(content: dict[str, Any]) -> None:
    assert content["features"] == {"backbone": "lowlevel", "resize": 320, "fit": "pad"}
    assert content["cluster"]["norm_std"] is True


def test_weights_in_the_cache_are_taken_without_a_network(init, cache: Path, hub) -> None:
    line, content = init(HF_HUB_CACHE=str(cache), HF_HUB_OFFLINE="0", HF_ENDPOINT=address(hub.server_port))
    assert line.startswith(f"backbone: {NETWORK}: its weights are in the hub's cache, about ")
    assert "--backbone lowlevel: no download, 0.0" in line
    check_network(content)
    assert hub.asked == []


def test_a_hub_that_answers_is_asked_once(init, hub, tmp_path: Path) -> None:
    line, content = init(HF_HUB_CACHE=str(tmp_path / "none"), HF_HUB_OFFLINE="0", HF_ENDPOINT=address(hub.server_port))
    assert line.startswith(f"backbone: {NETWORK}: the hub answers, the first run downloads 88 MB; about ")
    check_network(content)
    assert len(hub.asked) == 1
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("how", ["offline", "refused", "silent", "unknown file"])
def test_without_a_hub_nothing_is_downloaded(init, hub, silent: int, how: str, tmp_path: Path, monkeypatch) -> None:
    env = {"HF_HUB_CACHE": str(tmp_path / "none"), "HF_HUB_OFFLINE": str(int(how == "offline"))}
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = {"refused": closed.getsockname()[1], "silent": silent}.get(how, hub.server_port)
    env["HF_ENDPOINT"] = address(port) + ("/elsewhere" if how == "unknown file" else "")
    start = time.monotonic()
    line, content = init(**env)
    assert time.monotonic() - start < backbone_choice.SECONDS + 10  # of these the start of Python takes some
    why = {
        "offline": "HF_HUB_OFFLINE is set, and the weights of DINOv2 are not in the hub's cache; ",
        "refused": f"{env['HF_ENDPOINT']} gives no answer (",
        "silent": f"{env['HF_ENDPOINT']} gives no answer within 3 s; ",
        "unknown file": f"{env['HF_ENDPOINT']} gives no answer (",
    }[how]
    assert line.startswith(f"backbone: lowlevel: {why}")
    assert f"--backbone {NETWORK}: downloads 88 MB, about " in line
    assert line.endswith(" s an image (estimated)")
    check_lowlevel(content)
    if how == "offline":
        assert hub.asked == []


def address(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def test_a_named_backbone_and_a_recipe_ask_nobody(photos: Path, usseg, tmp_path: Path, monkeypatch) -> None:
    def asked() -> None:
        raise AssertionError("asked")

    for name in ("in_cache", "size_on_hub"):
        monkeypatch.setattr(backbone_choice, name, asked)
    for number, args in enumerate((["--backbone", "lowlevel"], ["--recipe", "dsm"])):
        done = usseg(tmp_path, "init", f"p{number}", "photos", *args)
        assert done.returncode == 0, done.stderr
        assert "\nbackbone: " not in done.stdout


@pytest.mark.slow
def test_the_chain_runs_with_weights_of_the_cache(init, cache: Path, photos: Path, usseg_process) -> None:
    """Random weights in the place of DINOv2's; the network is asked for nothing."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = timm.create_model(NETWORK, pretrained=False, num_classes=0)
    (file,) = cache.rglob(FILES[0])
    save_file(model.state_dict(), file)
    env = {"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    _, content = init("--clusters", "2", **env)
    check_network(content)
    done = usseg_process(photos.parent / "project", "run", "--workers", "1", "--device", "cpu", **env)
    assert done.returncode == 0, done.stderr
    assert (photos.parent / "project/report/index.html").is_file()
