"""The GPU of this machine, where it has one, and a GPU that is simulated on the CPU.

Tensors of the simulated GPU refuse to meet those of the CPU, and do not become arrays unasked. The simulation knows
nothing of a GPU's speed, rounding or own kernels. It finds tensors on the wrong device.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

GPU = torch.device("cuda:0")
CROSSING = {"aten::_to_copy", "aten::copy_"}  # from one device to the other
INDEXING = {
    "aten::index",
    "aten::index_put_",
    "aten::_index_put_impl_",
    "aten::_unsafe_index",
}  # by tensors of either device


class Remote(torch.Tensor):
    """A tensor on the simulated GPU; `held` is the tensor of the CPU that has its values."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> "Remote":
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device="meta",  # what C++ takes it for; Python sees the GPU
            requires_grad=held.requires_grad,
        )
        made.held = held
        return made

    device = property(lambda self: GPU)  # type: ignore[assignment]
    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    is_meta = property(lambda self: False)  # type: ignore[assignment]

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"Remote({self.held!r})"

    def tolist(self) -> Any:
        return self.held.tolist()

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy; use Tensor.cpu() first")

    def __array__(self, dtype: Any = None) -> Any:
        return self.numpy()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.held.__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        return computed(func, args, dict(kwargs or {}))


def computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The operation on the tensors held; the outcome is remote where the operation's device is the GPU."""
    name = func._schema.name
    leaves = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    remote = any(isinstance(leaf, Remote) for leaf in leaves)
    if remote and name not in CROSSING:
        local = [leaf for leaf in leaves if not isinstance(leaf, Remote) and leaf.ndim > 0]
        indices = name in INDEXING and isinstance(args[0], Remote)
        if local and not (indices and all(leaf.dtype in (torch.int64, torch.bool) for leaf in local)):
            raise RuntimeError(f"{name}: expected all tensors on one device, found cuda:0 and cpu")
    wanted = kwargs.get("device")
    if wanted is not None:
        remote = torch.device(wanted).type != "cpu"
        kwargs["device"] = torch.device("cpu")
    held = tree_map(lambda leaf: leaf.held if isinstance(leaf, Remote) else leaf, (args, kwargs))
    out = func(*held[0], **held[1])
    if name in CROSSING and name.endswith("_"):
        return args[0]
    mutated = {id(value): leaf for leaf, value in pairs((args, kwargs), held)}
    # What an operation writes in place is the tensor that was given, not another on the same values.
    return tree_map(
        lambda leaf: mutated.get(id(leaf), Remote(leaf)) if remote and isinstance(leaf, torch.Tensor) else leaf, out
    )


def pairs(given: Any, held: Any) -> Iterator[tuple[Any, Any]]:
    """Remote tensors and the tensors that they hold."""
    for leaf, value in zip(tree_leaves(given), tree_leaves(held), strict=True):
        if isinstance(leaf, Remote):
            yield leaf, value


class Factories(TorchDispatchMode):
    """Lets `torch.zeros(..., device="cuda")` and `tensor.to("cuda")` make remote tensors."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        return computed(func, args, dict(kwargs or {}))


class Kernels(TorchFunctionMode):
    """Compute attention where the tensors are: torch would look for the kernels of a GPU.

    It also leaves inference mode for every operation. Views of remote tensors need the version counters that inference
    mode does not keep.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is functional.scaled_dot_product_attention and isinstance(args[0], Remote):
            held = [arg.held if isinstance(arg, Remote) else arg for arg in args]
            return Remote(func(*held, **(kwargs or {})))
        if func is torch.Tensor.__getitem__ and isinstance(args[0], Remote) and isinstance(args[1], list):
            args = (args[0], torch.tensor(args[1]))  # which C++ would put on the device that it takes for the tensor's
        if not torch.is_inference_mode_enabled():
            return func(*args, **(kwargs or {}))
        with torch.inference_mode(False), torch.no_grad():
            return func(*args, **(kwargs or {}))


@contextmanager
def machine_with_gpu(memory: int = 8 << 30) -> Iterator[None]:
    """One GPU with so many bytes free, as far as this process goes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "_lazy_init", lambda: None)
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "device_count", lambda: 1)
        patch.setattr(torch.cuda, "mem_get_info", lambda device=None: (memory, 8 << 30))
        patch.setattr(torch.cuda, "manual_seed_all", lambda seed: None)
        patch.setattr(torch.cuda, "get_rng_state", lambda device=None: torch.get_rng_state())
        patch.setattr(torch.cuda, "set_rng_state", lambda state, device=None: None)
        check = "_accelerator_graph_capture_health_check"  # asks the driver; torch 2.15
        patch.setattr(torch.optim.Optimizer, check, lambda self: None, raising=False)
        patch.setattr("usseg.pipeline.parallel.BLOCKS_AT_ONCE", 1)  # the modes below are those of this thread
        with Factories(), Kernels():
            yield


@contextmanager
def real_gpu(memory: int = 8 << 30) -> Iterator[None]:
    """The GPU of this machine, with so many bytes free as far as the code can tell."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "mem_get_info", lambda device=None: (memory, 8 << 30))
        yield


@pytest.fixture
def simulated_gpu() -> Callable[..., AbstractContextManager[None]]:
    return machine_with_gpu


@pytest.fixture(params=["simulated", "real"])
def gpu(request: pytest.FixtureRequest) -> Callable[..., AbstractContextManager[None]]:
    """A machine with one GPU, as a context: simulated, and the real one where this machine has it."""
    if request.param == "simulated":
        return machine_with_gpu
    if not torch.cuda.is_available():
        pytest.skip("this machine has no CUDA device")
    return real_gpu
