"""`usseg doctor`: packages, devices, memory and params.yaml of this machine."""

import importlib.metadata
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from usseg.pipeline.errors import ParamsError
from usseg.pipeline.project import Project
from usseg.pipeline.stage import Stage


def findings(stages: Mapping[str, Stage], project: Path) -> Iterator[tuple[str, str]]:
    """Yield one finding after the other, as (name, finding)."""
    import psutil
    from dask.system import CPU_COUNT

    yield "python", sys.version.split()[0]
    missing = set()
    for package in ("torch", "torchvision", "timm", "zarr", "dask", "dvc", "faiss-gpu", "faiss-cpu", "opencv-python"):
        try:
            yield package, importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            missing.add(package)
            yield package, "not installed"
    if "torch" not in missing:
        import torch

        gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        yield "cuda", ", ".join(gpus) or "no device; everything runs on the CPU"
    if not {"faiss-gpu", "faiss-cpu"} <= missing:
        import faiss

        yield "faiss GPUs", str(faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0)
    memory = psutil.virtual_memory()
    yield "cores", str(CPU_COUNT)
    yield "memory", f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free"
    if project.is_dir():
        yield "disk", f"{shutil.disk_usage(project).free / 2**30:.1f} GiB free at {project}"
    try:
        Project.open(stages, project)
        yield "params.yaml", "every section is fine"
    except ParamsError as error:
        yield "params.yaml", str(error).removeprefix("params.yaml: ")
