"""The device that a run gets on this machine."""

from pathlib import Path

from usseg.pipeline.errors import ParamsError
from usseg.pipeline.execution import Execution
from usseg.pipeline.stage import Stage


def resolve_device(name: str, *, elsewhere: bool = False) -> str:
    """The device of an option `--device`: "cpu" or "cuda:N". `auto` is the first GPU, or the CPU if there is none.

    Args:
        name: auto, cpu, cuda or cuda:N.
        elsewhere: workers on other machines compute, so this machine does not need the GPU.

    Raises:
        ParamsError: another name, or this machine does not have the GPU.
    """
    kind, _, index = name.partition(":")
    if name not in ("auto", "cpu") and (kind != "cuda" or not (index or "0").isdecimal() or not index.isascii()):
        raise ParamsError(f"--device: found {name!r}; auto, cpu, cuda or cuda:N is allowed")
    no_driver = not any(Path(node).exists() for node in ("/dev/nvidiactl", "/dev/dxg"))
    if name == "cpu" or (name == "auto" and no_driver):  # importing torch takes seconds
        return "cpu"
    import torch

    if name == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    if not elsewhere and int(index or 0) >= torch.cuda.device_count():
        raise ParamsError(f"--device: found {name!r}; this machine has {torch.cuda.device_count()} CUDA devices")
    return f"cuda:{int(index or 0)}"


def execution_of(
    device: str, batch_size: int, workers: int, scheduler: str | None, *, stage: Stage | None = None
) -> Execution:
    """The `Execution` of the options of a command.

    If a stage works image by image, the workers of a scheduler compute. The device is then theirs, not this machine's.

    Raises:
        ParamsError: the device is not known or not present.
    """
    elsewhere = scheduler is not None and stage is not None and stage.sizes is not None
    return Execution(resolve_device(device, elsewhere=elsewhere), batch_size, workers, scheduler)
