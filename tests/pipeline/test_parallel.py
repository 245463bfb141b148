import os
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.errors import ParamsError
from pipeline.parallel import local_cluster, map_blocks


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
    assert local_cluster(3, "cuda:0") == {"n_workers": 3, "threads_per_worker": 1, "dashboard_address": ":0"}
