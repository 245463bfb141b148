"""What an affinity gets, and what it returns. Read this before you write an affinity.

Letters: B images, h rows and w columns of tokens, N = h x w tokens, C channels, K eigenpairs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from usseg.pipeline.methods import Method, on_device
from usseg.pipeline.params import Params
from usseg.stages.eigen.eigenpairs import Eigenpairs
from usseg.stages.eigen.options import LaplacianOptions

if TYPE_CHECKING:
    from torch import Tensor

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Weights: TypeAlias = "F32 | Tensor"  # (image, token, token)


@dataclass(frozen=True)
class TokenBatch:
    """A batch of B images that all have N tokens in row-major order, without padding. On the CPU a batch is one image.

    Attributes:
        features: float32 (B, N, C), the output of the backbone, not normalised.
        grids: (h, w) of each image. The images of a batch may have different h and w, but the same N.
        ids: id of each image. `image_seed` derives the seed of an image from its id.
        colors: RGB, float64 (h, w, 3) in [0, 1], of each image; empty where the options ask for no colours.
        device: "cpu", or a torch device.
        k: number of eigenpairs; it may be larger than N.
    """

    features: F32
    grids: list[tuple[int, int]]
    ids: list[str]
    colors: list[F64]
    device: str
    k: int

    @property
    def by_torch(self) -> bool:
        """Whether the affinity must return a torch tensor."""
        return self.device != "cpu"

    def tensor(self) -> "Tensor":
        """The features on the device, float32 (B, N, C)."""
        import torch

        return torch.from_numpy(self.features).to(self.device)


@dataclass(frozen=True)
class AffinityMethod(Method):
    """The entry of an affinity.

    `call(tokens, options)` returns the weights of one graph an image: float32 (image, token, token), symmetric. They
    are a NumPy array where `tokens.device` is "cpu", else a torch tensor on that device. The stage adds the colour
    affinity in place and solves for the eigenpairs of the Laplacian. The weights of an image must not depend on the
    other images of the batch. They must be finite also for a single token, for equal tokens and for a token of zeros.
    Negative weights are allowed; the stage then skips the connected components.

    Where `laplacian` is False, `call` returns a list of `Eigenpairs` instead: one an image, with min(k, N) pairs or
    fewer. The method then adds the colour affinity itself.

    Attributes:
        options: the params model of the method; a subclass of `LaplacianOptions` where `laplacian` is True. The stage
            reads images only where it is a `ColorOptions` and `color_weight` is not 0.
        gpu: from the options, whether the method computes on the execution's device. The Laplacian is then solved on
            that device.
        laplacian: the eigenpairs are those of a graph Laplacian. Some methods of other stages need that.
    """

    call: Callable[[TokenBatch, Any], "Weights | list[Eigenpairs]"]
    options: type[Params] = LaplacianOptions
    gpu: Callable[[Any], bool] = on_device
    laplacian: bool = True

    def __post_init__(self) -> None:
        """Check the type of the options.

        Raises:
            TypeError: `laplacian` is True, and the options are no `LaplacianOptions`.
        """
        if self.laplacian and not issubclass(self.options, LaplacianOptions):
            raise TypeError(
                f"options: found {self.options.__name__}; a subclass of LaplacianOptions is needed, or laplacian=False"
            )
