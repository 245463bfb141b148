import os

from pipeline.parallel import map_blocks


def threads(task: int) -> tuple[int, str | None, int]:
    from threadpoolctl import threadpool_info

    return task, os.environ.get("OMP_NUM_THREADS"), max((p["num_threads"] for p in threadpool_info()), default=1)


def test_every_call_has_one_thread() -> None:
    before = os.environ.get("OMP_NUM_THREADS")
    assert list(map_blocks(threads, [1, 2], workers=1, scheduler=None)) == [(1, "1", 1), (2, "1", 1)]
    assert os.environ.get("OMP_NUM_THREADS") == before
