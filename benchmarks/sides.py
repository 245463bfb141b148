"""Processes of the two sides of the comparison. Each has its own memory and caches, and waits while the other runs."""

import ctypes
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks import scenes
from benchmarks.cases import Case, every_case
from usseg.pipeline.parallel import keep_freed_memory

SIDES = ("theirs", "ours")


def memory(kind: str) -> float:
    """Memory of this process in MiB: VmRSS is the present value, VmHWM the peak since the last reset."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{kind}:")[2].split()[0]) / 1024


def peak_of(function, i: int) -> float:
    """Peak of the memory that a call adds to the process, in MiB."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    function(i)
    return max(0.0, memory("VmHWM") - before)


def serve(side: str, folder: Path, connection: Connection) -> None:
    """Prepare one case after the other, and answer the requests `peak`, `time` and `next` about it."""
    threadpool_limits(limits=1)
    torch.set_num_threads(1)
    if side == "ours":
        keep_freed_memory()
    for case in every_case(folder, scenes.photo_files(3, folder)[0]):
        connection.send(replace(case, theirs=None, ours=None))
        function = getattr(case, side)
        while (request := connection.recv()) != "next":
            connection.send(peak_of(function, 0) if request == "peak" else seconds_of(function, case.inputs))
    connection.send(None)


def seconds_of(function, inputs: int) -> float:
    """Seconds per input, over all inputs one after the other."""
    started = time.perf_counter()
    for i in range(inputs):
        function(i)
    return (time.perf_counter() - started) / inputs


def measured(case: Case, sides: dict[str, Connection]) -> dict[str, float]:
    """Median seconds of both sides, measured in turn over all rounds, and their peaks of memory."""

    def ask(side: str, what: str) -> float:
        sides[side].send(what)
        return sides[side].recv()

    for side in SIDES:
        ask(side, "time")  # the first call imports modules
    peaks = {f"{side} MiB": ask(side, "peak") for side in SIDES}
    seconds = np.array([[ask(side, "time") for side in SIDES] for _ in range(case.rounds)])
    theirs, ours = np.median(seconds, axis=0)
    return {"theirs": theirs, "ours": ours, **peaks, "ratio": float(np.median(seconds[:, 0] / seconds[:, 1]))}


def both_sides(folder: Path) -> dict[str, Connection]:
    """Start both processes, each with its own folder for photos and weights. Returns a connection to each."""
    context = get_context("spawn")
    sides = {}
    for side in SIDES:
        sides[side], other = context.Pipe()
        (folder / side).mkdir()
        context.Process(target=serve, args=(side, folder / side, other), daemon=True).start()
    return sides


def prepared_cases(sides: dict[str, Connection]) -> Iterator[Case]:
    """Yield the cases that both processes have prepared. A case that gets no request is skipped."""
    while True:
        case, same = (connection.recv() for connection in sides.values())
        assert case == same, (case, same)
        if case is None:
            return
        yield case
        for connection in sides.values():
            connection.send("next")
