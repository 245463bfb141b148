"""The backbone of a new project: the lines of params.yaml, and what `--backbone auto` takes.

`auto` takes DINOv2 ViT-S/14 with registers where its weights can be had, else `lowlevel`. params.yaml then names that
backbone, so a project never changes it by itself.
"""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from usseg.pipeline.errors import ParamsError, WeightsError, reason

AUTO = "auto"
OFFLINE = "lowlevel"  # the backbone that downloads nothing
NETWORK = "vit_small_patch14_reg4_dinov2.lvd142m"
REPOSITORY, FILES = f"timm/{NETWORK}", ("model.safetensors", "pytorch_model.bin")  # where timm looks for its weights
WEIGHTS_BYTES = 88_000_000  # of the file, where the hub does not say it
SECONDS = 3.0  # the hub has so long to answer
SIDE = 320  # pixels of the longer side: 1,200 patches of `lowlevel` for a photo of 4 : 3
PATCHES = 32  # of a network along the longer side: 768 for a photo of 4 : 3
# Sizes of the network, for the estimate of its time.
BLOCKS, CHANNELS, PATCH = 12, 384, 14
OVERHEAD = 1.4  # measured: seconds of a forward pass / seconds of its matrix products alone


@dataclass(frozen=True)
class Chosen:
    """A backbone, and the line that says why.

    Attributes:
        name: `lowlevel`, or the timm name of a network.
        line: for the user: which, why, and what the other one would cost.
    """

    name: str
    line: str


def choose() -> Chosen:
    """Choose the backbone of `--backbone auto`. It takes `SECONDS` at most to ask the hub, and is asked once."""
    here, there = f"about {network_seconds():.1g} s an image (estimated)", f"{lowlevel_seconds():.1g} s an image"
    other = f"--backbone {OFFLINE}: no download, {there}"
    if in_cache():
        return Chosen(NETWORK, f"backbone: {NETWORK}: its weights are in the hub's cache, {here} on this CPU; {other}")
    try:
        size = size_on_hub()
    except ConnectionError as error:
        line = (
            f"backbone: {OFFLINE}: {error}; {there} on this CPU; "
            f"--backbone {NETWORK}: downloads {WEIGHTS_BYTES / 1e6:.0f} MB, {here}"
        )
        return Chosen(OFFLINE, line)
    first = f"the hub answers, the first run downloads {size / 1e6:.0f} MB"
    return Chosen(NETWORK, f"backbone: {NETWORK}: {first}; {here} on this CPU; {other}")


def in_cache() -> bool:
    """Whether the weights of `NETWORK` are in the cache of the hub. No network is used."""
    from huggingface_hub import try_to_load_from_cache

    return any(isinstance(try_to_load_from_cache(REPOSITORY, name), str) for name in FILES)


def size_on_hub() -> int:
    """The bytes of the weights of `NETWORK`, as the hub states them.

    Raises:
        ConnectionError: HF_HUB_OFFLINE is set, or the hub gives no answer within `SECONDS`. The message says which.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    if constants.HF_HUB_OFFLINE:
        raise ConnectionError("HF_HUB_OFFLINE is set, and the weights of DINOv2 are not in the hub's cache")
    url = hf_hub_url(REPOSITORY, FILES[0])
    try:
        size = answer(lambda: get_hf_file_metadata(url, timeout=SECONDS).size, SECONDS)
    except TimeoutError:
        raise ConnectionError(f"{constants.ENDPOINT} gives no answer within {SECONDS:g} s") from None
    except Exception as error:  # the hub's client and its HTTP library share no type
        raise ConnectionError(f"{constants.ENDPOINT} gives no answer ({reason(error)})") from None
    return int(size or WEIGHTS_BYTES)


def answer(question: Callable[[], Any], seconds: float) -> Any:
    """The result of a function that may hang, such as in the look-up of a name, where no timeout holds.

    Raises:
        TimeoutError: there is no result after `seconds`.
        Exception: the error of the function.
    """
    results: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()

    def ask() -> None:
        try:
            results.put((question(), None))
        except Exception as error:  # it is raised in the other thread
            results.put((None, error))

    threading.Thread(target=ask, daemon=True).start()
    try:
        result, error = results.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return result


def network_seconds() -> float:
    """An estimate of the seconds that `NETWORK` needs for a photo of 4 : 3 on this CPU: no network is loaded.

    The time of one matrix product gives the speed of this machine.
    """
    tokens = PATCHES * PATCHES * 3 // 4 + 5  # patches, class token and registers
    inputs, weights = np.ones((tokens, CHANNELS), np.float32), np.ones((CHANNELS, 4 * CHANNELS), np.float32)

    def seconds_of_product() -> float:
        start = perf_counter()
        np.matmul(inputs, weights)
        return perf_counter() - start

    rate = tokens * CHANNELS * 4 * CHANNELS / min(seconds_of_product() for _ in range(5))
    products = BLOCKS * (12 * tokens * CHANNELS**2 + 2 * tokens**2 * CHANNELS)  # linear layers, attention
    return OVERHEAD * products / rate


def lowlevel_seconds() -> float:
    """The measured seconds that `lowlevel` needs for a photo of 4 : 3 on this CPU."""
    from usseg.stages.features.methods import METHODS

    method = METHODS[OFFLINE]
    backbone = method.call(method.options(), Path(), "cpu")
    photo = np.random.default_rng(0).integers(0, 256, (SIDE * 3 // 4, SIDE, 3)).astype(np.uint8)
    grid = (photo.shape[0] // backbone.patch, photo.shape[1] // backbone.patch)
    seconds = []
    for _ in range(2):  # the first one imports libraries
        start = perf_counter()
        backbone.describe([photo], grid, "float16")
        seconds.append(perf_counter() - start)
    return seconds[1]


def backbone_lines(name: str) -> str:
    """The lines of the section `features` that choose a backbone and the size of the photos for it.

    - The longer side is a whole number of patches, so that little is padded.
    - Of DINO the keys are taken, as in DSM. The training of DINOv2 has a loss on the patch tokens, too (that of iBOT;
      Oquab et al., 2023, section 4), so of DINOv2 the tokens are taken.

    Raises:
        ParamsError: the name is neither `lowlevel` nor that of a network of timm with weights.
    """
    if name == OFFLINE:
        return (
            f"backbone: {OFFLINE}               # colour, texture and position; nothing is downloaded\n"
            f"  resize: {SIDE}                      # pixels of the longer side"
        )
    import torch

    from usseg.stages.features.convolutional import layer_of
    from usseg.stages.features.networks import check_name, plain_transformer

    backbone, patch = "vit", 16
    try:
        check_name(name, pretrained=True)
        try:
            with torch.device("meta"):  # no memory: the network is only looked at
                patch = int(plain_transformer(name, pretrained=False).patch_embed.patch_size[0])
        except WeightsError:
            backbone = "cnn"
            layer_of(name, patch, pretrained=True)
    except WeightsError as error:
        raise ParamsError(f"--backbone: {error}; {OFFLINE} needs no network") from None
    facet = ", facet: token" if "dinov2" in name else ""
    resize = f"resize: {max(SIDE, PATCHES * patch)}"
    return (
        f"backbone: {backbone}\n"
        f"  options: {{name: {name}{facet}}}  # timm downloads it at the first run\n"
        f"  {resize:<32} # pixels of the longer side: a whole number of patches"
    )
