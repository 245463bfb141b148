"""What this machine has for a run."""

from pathlib import Path

from usseg.pipeline.errors import ParamsError
from usseg.pipeline.execution import Execution
from usseg.pipeline.stage import Stage


def resolve_device(name: str, *, elsewhere: bool = False) -> str:
    """`auto` is the first GPU where there is one. An absent GPU is refused, unless workers elsewhere compute on theirs."""
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


def execution_of(
    device: str, batch_size: int, workers: int, scheduler: str | None, *, stage: Stage | None = None
) -> Execution:
    """The execution that a command's options ask for.

    Where a stage works image by image, the workers of a scheduler do the work: the device is theirs.
    """
    elsewhere = scheduler is not None and stage is not None and stage.sizes is not None
    return Execution(resolve_device(device, elsewhere=elsewhere), batch_size, workers, scheduler)
