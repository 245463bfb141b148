"""Map a function over tasks: in this process, in threads, or on a Dask cluster."""

import ctypes
import logging
import os
import pickle
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Generic, TypeVar

from usseg.pipeline.errors import ParamsError, WorkersError

log = logging.getLogger("usseg")

# A spinning OpenMP thread blocks a core for other processes. On a busy machine faiss is then 50 times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # options of glibc's mallopt, from malloc.h
STARTS = 3  # attempts to start the workers
BLOCKS_AT_ONCE = 2  # tasks at a time on the GPU of this process
KEPT_ARRAYS, KEPT_BYTES = 32 << 20, 256 << 20  # bytes; 32 MiB is the largest mmap threshold of glibc

T = TypeVar("T")
R = TypeVar("R")


def in_this_process(tasks: int, *, workers: int, scheduler: str | None) -> bool:
    """Whether `map_blocks` runs this number of tasks in this process."""
    return scheduler is None and (workers == 1 or tasks <= 1)


def map_blocks(
    function: Callable[[T], R], tasks: Sequence[T], *, workers: int, scheduler: str | None, device: str = "cpu"
) -> Iterator[R]:
    """Yield the result of `function` for each task. Several workers yield in order of completion.

    Each call uses one thread of BLAS, OpenMP and torch: no bit depends on the number of cores.
    A GPU of this process runs two calls at a time: one computes while the other reads or writes.
    `function` and the tasks must be picklable if there are several workers or a `scheduler` address.
    Several workers with a GPU `device` get one GPU each, which each of them sees as its first GPU.

    Args:
        function: called with one task.
        tasks: the tasks.
        workers: number of processes.
        scheduler: the address of a running Dask cluster, or None.
        device: "cpu" or a GPU.

    Raises:
        ParamsError: several workers on GPUs are requested, but dask-cuda is not installed.
        WorkersError: workers do not start or are killed repeatedly, or the cluster cannot run the tasks.
    """
    if in_this_process(len(tasks), workers=workers, scheduler=scheduler):
        # Thread limits belong to the process. Without this outer block, one call in a thread would reset them for
        # another.
        with single_threaded(), thread_map(1 if device == "cpu" else BLOCKS_AT_ONCE) as ordered:
            yield from ordered(partial(one_thread, function), tasks)
        return
    import cloudpickle
    import dask

    # Distributed reads this at import: log only critical lines (errors are raised here), and serve no web pages.
    dask.config.set({"logging.distributed": "critical", "distributed.scheduler.http.routes": []})
    from distributed import as_completed
    from distributed.client import FutureCancelledError
    from distributed.scheduler import KilledWorker

    with cluster_client(min(workers, len(tasks)), scheduler, device) as client:
        try:
            calls = [cloudpickle.dumps(Call(function, task)) for task in tasks]
            futures = client.map(pickle.loads, calls, pure=False)
            with client.as_current():  # as_completed asks for the current client
                completed = as_completed(futures)
            for future in completed:
                yield future.result()
        except KilledWorker as error:
            raise WorkersError(
                "workers that had the same images were killed several times; if memory was short, "
                "give fewer --workers; the same command continues"
            ) from error
        except FutureCancelledError as error:
            raise WorkersError(
                "the cluster has lost the tasks, or its scheduler has ended; the same command continues"
            ) from error
        except (ImportError, AttributeError, RuntimeError) as error:
            unread = isinstance(error, ImportError) or "deserializ" in str(error) or "Can't get attribute" in str(error)
            if scheduler is None or not unread:
                raise
            reason = " ".join(str(error).split())[:200]
            raise WorkersError(
                f"--scheduler: {scheduler} cannot read the tasks ({reason}); install the same packages on its workers"
            ) from error


@dataclass(frozen=True)
class Call(Generic[T, R]):
    """A call that is executed when its pickle is loaded.

    A missing module then raises an error inside the task. If Dask itself cannot unpickle a task, the worker ends and
    the client waits for ever.
    """

    function: Callable[[T], R]
    task: T

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return one_thread, (self.function, self.task)


@contextmanager
def cluster_client(workers: int, scheduler: str | None, device: str) -> Iterator[Any]:
    """Yield a client of the cluster at an address, or of workers that are started here and end with the client.

    Raises:
        WorkersError: no cluster answers, or the workers do not start in STARTS attempts.
    """
    from distributed import Client

    if scheduler is not None:
        try:
            client = Client(scheduler, set_as_default=False)
        except (OSError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise WorkersError(
                f"--scheduler: {scheduler} does not answer as a Dask scheduler ({reason}); see docs/how-to/scale-out.md"
            ) from error
        with client:
            yield client
        return
    for attempt in range(1, STARTS + 1):
        try:
            cluster = local_cluster(workers, device)
            break
        except (OSError, RuntimeError) as error:  # a worker was killed, or memory or processes were short
            log.info("workers: start %d of %d failed (%s)", attempt, STARTS, " ".join(str(error).split())[:120])
            failure = error
    else:
        raise WorkersError(
            f"--workers: {workers} workers did not start in {STARTS} tries; give fewer, or --workers 1; "
            "the same command continues"
        ) from failure
    with cluster, Client(cluster, set_as_default=False) as client:
        yield client


def local_cluster(workers: int, device: str) -> Any:
    """Start worker processes on this machine, with one thread each.

    They listen on this machine only. They use TLS with temporary credentials, so that only this process can use them.
    There is no dashboard.

    Raises:
        ParamsError: the device is a GPU, and dask-cuda is not installed.
    """
    options: dict[str, Any] = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
    options |= {"host": "127.0.0.1", "protocol": "tls", "security": True}
    if device == "cpu":
        from distributed import LocalCluster

        return LocalCluster(processes=True, **options)
    try:
        from dask_cuda import LocalCUDACluster
    except ImportError:
        raise ParamsError(
            f"--workers: {workers} workers on GPUs need dask-cuda (pip install 'usseg[gpu]'), and a GPU each; "
            "or --workers 1"
        ) from None
    return LocalCUDACluster(**options)


@contextmanager
def thread_map(threads: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """Yield a function like `map` that calls in threads. Results come in order, and few of them wait.

    It is for functions that release the interpreter's lock. With one thread it is the built-in `map`.
    """
    if threads <= 1:
        yield map
        return
    with ThreadPoolExecutor(threads) as pool:

        def ordered(function: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
            waiting: deque[Future[R]] = deque()
            for task in tasks:
                waiting.append(pool.submit(function, task))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

        yield ordered


def one_thread(function: Callable[[T], R], task: T) -> R:
    """Call a function while every thread pool is limited to one thread."""
    with single_threaded():
        return function(task)


@contextmanager
def single_threaded() -> Iterator[None]:
    """Limit every thread pool to one thread, also of libraries that are imported inside the `with` block."""
    from threadpoolctl import threadpool_limits

    keep_freed_memory()
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    torch = sys.modules.get("torch")
    torch_threads = torch.get_num_threads() if torch else 0
    try:
        if torch:
            torch.set_num_threads(1)
        with threadpool_limits(limits=1):
            yield
    finally:
        if torch:
            torch.set_num_threads(torch_threads)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@cache
def keep_freed_memory() -> None:
    """Make glibc keep the memory of freed arrays for new arrays. New pages from the system are slow.

    A forward pass of a transformer takes a tenth less time, and a fifth less in a Dask worker, where Dask sets
    MALLOC_TRIM_THRESHOLD_. Without `mallopt` in the C library nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(M_MMAP_THRESHOLD, KEPT_ARRAYS)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
