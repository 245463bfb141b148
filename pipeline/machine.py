"""What this machine has for a run."""

import importlib.metadata
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from usseg.pipeline.errors import ParamsError
from usseg.pipeline.sections import read_sections
from usseg.pipeline.stage import Stage


def resolve_device(name: str, *, elsewhere: bool = False) -> str:
    """`auto` -> the first GPU where there is one; an absent device is refused, unless workers elsewhere compute on theirs."""
    kind, _, index = name.partition(":")
    if name not in ("auto", "cpu") and (kind != "cuda" or not (index or "0").isdecimal() or not index.isascii()):
        raise ParamsError(f"--device: found {name!r}; auto, cpu, cuda or cuda:N is allowed")
    no_driver = not any(Path(node).exists() for node in ("/dev/nvidiactl", "/dev/dxg"))
    if name == "cpu" or (name == "auto" and no_driver):  # spares the seconds that importing torch takes
        return "cpu"
    import torch

    if name == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    if not elsewhere and int(index or 0) >= torch.cuda.device_count():
        raise ParamsError(f"--device: found {name!r}; this machine has {torch.cuda.device_count()} CUDA devices")
    return f"cuda:{int(index or 0)}"


def findings(stages: Mapping[str, Stage], project: Path) -> Iterator[tuple[str, str]]:
    """What `doctor` says, line by line."""
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
        read_sections(stages, project)
        yield "params.yaml", "every section is fine"
    except ParamsError as error:
        yield "params.yaml", str(error).removeprefix("params.yaml: ")
