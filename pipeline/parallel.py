"""Map one function over blocks of images: in process, or on a Dask cluster. The only place with workers."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

# OpenMP threads that spin while they wait take the cores of other processes: on a busy machine faiss is 50 times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

T = TypeVar("T")
R = TypeVar("R")


def map_blocks(function: Callable[[T], R], tasks: Sequence[T], *, workers: int, scheduler: str | None) -> Iterator[R]:
    """Yield the results of `function` over `tasks`, in order of completion.

    Each call runs with one thread of BLAS, OpenMP and torch, so that no bit depends on how many cores a machine has.
    `function` and the tasks must be picklable where `workers` > 1 or a `scheduler` address is given.
    """
    if scheduler is None and (workers == 1 or len(tasks) <= 1):
        yield from (one_thread(function, task) for task in tasks)
        return
    import dask

    dask.config.set({"logging.distributed": "warning"})  # read when distributed is imported
    from distributed import Client, LocalCluster, as_completed

    if scheduler is not None:
        with Client(scheduler) as client:
            futures = client.map(one_thread, [function] * len(tasks), tasks, pure=False)
            for future in as_completed(futures):
                yield future.result()
        return
    with (
        LocalCluster(
            n_workers=min(workers, len(tasks)), threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        Client(cluster) as client,
    ):
        futures = client.map(one_thread, [function] * len(tasks), tasks, pure=False)
        for future in as_completed(futures):
            yield future.result()


def one_thread(function: Callable[[T], R], task: T) -> R:
    """Call with every thread pool limited to one thread, also those of libraries that the call imports first."""
    from threadpoolctl import threadpool_limits

    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    torch = sys.modules.get("torch")
    torch_threads = torch.get_num_threads() if torch else 0
    try:
        if torch:
            torch.set_num_threads(1)
        with threadpool_limits(limits=1):
            return function(task)
    finally:
        if torch:
            torch.set_num_threads(torch_threads)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
