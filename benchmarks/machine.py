"""Measured rates of the machine with one thread: a GEMM, and the bandwidth of memory."""

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

PACKAGES = ("numpy", "scipy", "torch", "timm", "scikit-learn", "zarr")


def fastest(function, repeats: int = 7) -> float:
    """Seconds of the fastest of a few calls, which other processes disturb least."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def gemm_rate() -> float:
    """Float32 operations per second of a large matrix product: the faster one of numpy and torch."""
    side = 1536
    first, second = (np.random.default_rng(seed).random((side, side), np.float32) for seed in (0, 1))
    out, tensors = np.empty_like(first), (torch.from_numpy(first), torch.from_numpy(second))
    seconds = min(
        fastest(lambda: np.matmul(first, second, out=out)),
        fastest(lambda: torch.mm(*tensors, out=torch.from_numpy(out))),
    )
    return 2 * side**3 / seconds


def bandwidth(size: int = 2400) -> float:
    """Bytes per second of reading a float32 matrix of `size` x `size`, as large as a graph."""
    matrix, vector = np.ones((size, size), np.float32), np.ones(size, np.float32)
    return matrix.nbytes / fastest(lambda: matrix @ vector, 15)


def description() -> str:
    """CPU, cores and versions of packages, without the name of the host."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cpu = models[0] if models else platform.processor() or platform.machine()
    flags = next((line for line in lines if line.startswith("flags")), "")
    extensions = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f" {name}" in flags]
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{cpu} ({', '.join(extensions)}), {os.cpu_count()} cores, python {platform.python_version()}, {versions}"
