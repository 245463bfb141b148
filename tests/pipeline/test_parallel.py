import os
import platform
import subprocess
import sys
import threading
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from usseg.pipeline import parallel
from usseg.pipeline.errors import ParamsError, WorkersError
from usseg.pipeline.parallel import local_cluster, map_blocks, thread_map


def threads(task: int) -> tuple[int, str | None, int]:
    from threadpoolctl import threadpool_info

    return task, os.environ.get("OMP_NUM_THREADS"), max((p["num_threads"] for p in threadpool_info()), default=1)


def test_every_call_has_one_thread() -> None:
    before = os.environ.get("OMP_NUM_THREADS")
    assert list(map_blocks(threads, [1, 2], workers=1, scheduler=None)) == [(1, "1", 1), (2, "1", 1)]
    assert os.environ.get("OMP_NUM_THREADS") == before


def test_workers_on_gpus_need_dask_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask_cuda", None)
    with pytest.raises(
        ParamsError, match=r"--workers: 2 workers on GPUs need dask-cuda \(pip install 'usseg\[gpu\]'\)"
    ):
        list(map_blocks(threads, [1, 2], workers=2, scheduler=None, device="cuda:0"))


def test_workers_on_gpus_are_those_of_dask_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    def started(**options: Any) -> dict[str, Any]:
        return options

    monkeypatch.setitem(sys.modules, "dask_cuda", SimpleNamespace(LocalCUDACluster=started))
    assert local_cluster(3, "cuda:0") == {
        **{"n_workers": 3, "threads_per_worker": 1, "dashboard_address": None},
        **{"host": "127.0.0.1", "protocol": "tls", "security": True},
    }


@pytest.mark.parametrize("count", [1, 3])
def test_threads_keep_the_order(count: int) -> None:
    with thread_map(count) as ordered:
        assert list(ordered(lambda task: task * task, list(range(50)))) == [task * task for task in range(50)]


def test_threads_run_at_once_and_few_results_wait() -> None:
    begun, both = [], threading.Barrier(2, timeout=30)

    def meet(task: int) -> int:
        begun.append(task)
        if task < 2:
            both.wait()
        return task

    with thread_map(2) as ordered:
        results = ordered(meet, list(range(100)))
        assert next(results) == 0
        assert len(begun) <= 5
        assert list(results) == list(range(1, 100))


def test_a_gpu_has_two_calls_at_a_time_and_the_order_is_kept() -> None:
    both = threading.Barrier(2, timeout=30)

    def meet(task: int) -> int:
        both.wait()
        return task

    assert list(map_blocks(meet, list(range(6)), workers=1, scheduler=None, device="cuda:0")) == list(range(6))


PAGES = """
import resource
import numpy as np
from usseg.pipeline.parallel import one_thread


def fill(_):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        np.ones(1 << 18)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


one_thread(fill, None)
print(one_thread(fill, None))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_memory_of_freed_arrays_is_used_again() -> None:
    environment = os.environ | {"MALLOC_TRIM_THRESHOLD_": "65536"}  # as Dask starts its workers
    ended = subprocess.run([sys.executable, "-c", PAGES], env=environment, capture_output=True, text=True, check=True)
    assert int(ended.stdout) < 512, "50 arrays of 512 pages each took new pages"


def listening(_: int) -> list[str]:
    """The addresses on which the processes of this run listen. The browser of other tests does not count."""
    import psutil

    run = psutil.Process().parents()[0]
    processes = [p for p in (run, *run.children(recursive=True)) if not p.name().startswith("chrom")]
    return [c.laddr.ip for p in processes for c in p.net_connections("inet") if c.status == "LISTEN"]


def test_local_workers_listen_on_this_machine_only_by_tls() -> None:
    from distributed import Client

    with local_cluster(1, "cpu") as cluster:
        assert cluster.scheduler_address.startswith("tls://127.0.0.1:")
        assert all(worker.address.startswith("tls://127.0.0.1:") for worker in cluster.scheduler.workers.values())
        assert set(listening(0)) <= {"127.0.0.1"}
        with pytest.raises((OSError, TypeError, RuntimeError)):
            Client(cluster.scheduler_address.replace("tls", "tcp"), timeout=2)


def test_workers_that_do_not_start_are_started_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The cluster is a fake. tests/end_to_end/test_killed_start.py kills real workers while they start."""
    calls = []

    def fails_twice(workers: int, device: str) -> Any:
        calls.append(workers)
        if len(calls) < 3:
            raise RuntimeError("Nanny failed to start.")
        return nullcontext("the third")

    monkeypatch.setattr(parallel, "local_cluster", fails_twice)
    monkeypatch.setattr("distributed.Client", lambda cluster, **options: nullcontext("its client"))
    with caplog.at_level("INFO", "usseg"), parallel.cluster_client(2, None, "cpu") as client:
        assert client == "its client"
    assert calls == [2, 2, 2]
    assert "workers: start 2 of 3 failed (Nanny failed to start.)" in caplog.text


def test_workers_that_never_start_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(workers: int, device: str) -> Any:
        raise RuntimeError("Cluster failed to start:\n Nanny failed to start.")

    monkeypatch.setattr(parallel, "local_cluster", fails)
    with pytest.raises(WorkersError, match=r"^--workers: 2 workers did not start in 3 tries; give fewer, [^\n]*$"):
        list(map_blocks(threads, [1, 2], workers=2, scheduler=None))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "tls://127.0.0.1:1", "nonsense", "http://127.0.0.1:1"])
def test_a_scheduler_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    import dask
    import distributed  # noqa: F401  # its defaults, which would be lost again if they were read within the block

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(WorkersError, match=rf"^--scheduler: {address} does not answer as a Dask scheduler [^\n]*$"),
    ):
        list(map_blocks(threads, [1, 2], workers=2, scheduler=address))
