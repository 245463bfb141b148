"""Seeds per image and per step of a training, so that no result depends on order, blocks, workers or kills; torch's generators."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np


def image_seed(seed: int, image_id: str) -> int:
    """Derive the seed of one image, in [0, 2**31), from a stage's seed and the image id."""
    digest = hashlib.sha256(f"{seed}:{image_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def step_seed(seed: int, epoch: int, number: int) -> int:
    """The seed of what torch draws in one step."""
    return int(np.random.SeedSequence([seed, epoch, number]).generate_state(1)[0])


@contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """Torch draws from a seed, for example the parameters of a network; the generators of the caller stay as they are."""
    import torch

    with torch.random.fork_rng(devices=gpus(device)):
        torch.manual_seed(seed)
        yield


def gpus(device: str) -> list[str]:
    """The device, where it is a GPU: it has a generator of its own."""
    import torch

    return [device] if torch.device(device).type == "cuda" else []


def random_state(device: str) -> list[Any]:
    """The state of torch's generator on the CPU, then of that on the GPU."""
    import torch

    return [torch.get_rng_state(), *(torch.cuda.get_rng_state(gpu) for gpu in gpus(device))]


def set_random_state(states: Sequence[Any], device: str) -> None:
    """Put the generators back to what `random_state` gave; the one of a GPU only if it was saved on a GPU."""
    import torch

    torch.set_rng_state(states[0])
    for state, gpu in zip(states[1:], gpus(device), strict=False):
        torch.cuda.set_rng_state(state, gpu)
