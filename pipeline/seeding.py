"""Seeds of images and of training steps, and the state of torch's generators.

No result depends on the order of images, on blocks or workers, or on a kill.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np


def image_seed(seed: int, image_id: str) -> int:
    """Derive the seed of an image, in [0, 2**31), from the seed of the stage and the image id."""
    digest = hashlib.sha256(f"{seed}:{image_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def step_seed(seed: int, epoch: int, number: int) -> int:
    """Seed of torch's generator for one training step. `number` is the position of the step in its epoch."""
    return int(np.random.SeedSequence([seed, epoch, number]).generate_state(1)[0])


@contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """Seed torch's generators inside the `with` block. The state of the caller's generators is restored afterwards."""
    import torch

    with torch.random.fork_rng(devices=gpus(device)):
        torch.manual_seed(seed)
        yield


def gpus(device: str) -> list[str]:
    """[device] if it is a GPU, which has its own generator; otherwise []."""
    import torch

    return [device] if torch.device(device).type == "cuda" else []


def random_state(device: str) -> list[Any]:
    """States of torch's generators: of the CPU, then of the GPU if the device is one."""
    import torch

    return [torch.get_rng_state(), *(torch.cuda.get_rng_state(gpu) for gpu in gpus(device))]


def set_random_state(states: Sequence[Any], device: str) -> None:
    """Restore the states that `random_state` returned. The state of a GPU is restored only if it was saved on a GPU."""
    import torch

    torch.set_rng_state(states[0])
    for state, gpu in zip(states[1:], gpus(device), strict=False):
        torch.cuda.set_rng_state(state, gpu)
