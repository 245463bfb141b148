"""What an affinity gets, and what it returns: read this before you write one. B images, N tokens, C channels, K eigenpairs."""

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
    """B images with equally many tokens N, row by row, with C channels each. Nothing in here is padded.

    On the CPU a batch is one image.

    Attributes:
        features: float32 (B, N, C), as the backbone gives them, not normalised.
        grids: (h, w) of each image, h w = N. Images of one batch may differ in it.
        ids: of each image; with `image_seed` they seed whatever an affinity draws.
        colors: float64 (h, w, 3) of each image, RGB in [0, 1]; empty where the options ask for no colours.
        device: "cpu", or a device of torch.
        k: eigenpairs that are asked for; it may be more than N.
    """

    features: F32
    grids: list[tuple[int, int]]
    ids: list[str]
    colors: list[F64]
    device: str
    k: int

    @property
    def by_torch(self) -> bool:
        """Whether the weights are wanted as a tensor."""
        return self.device != "cpu"

    def tensor(self) -> "Tensor":
        """The features on the device, float32 (B, N, C)."""
        import torch

        return torch.from_numpy(self.features).to(self.device)


@dataclass(frozen=True)
class AffinityMethod(Method):
    """The entry of an affinity.

    `call(tokens, options)` returns float32 weights (image, token, token), symmetric, one graph an image: a NumPy array where
    `tokens.device` is "cpu", else a tensor of torch on that device. The stage adds colours to them, in place, and solves the Laplacian.
    An image must have the same weights in any batch. Tokens that are all alike, a single token and a row of zeros occur: the weights
    must be finite, and may be 0. Negative weights are allowed; the stage then looks for no connected components.

    Where `laplacian` is False, `call` returns a list of `Eigenpairs` instead, one an image, min(k, N) pairs or fewer. It adds the
    colours itself.

    Attributes:
        options: its model, a `LaplacianOptions` where `laplacian` is True. Images are read where it is a `ColorOptions` and
            `color_weight` is not 0.
        gpu: from the options, whether the device is used. A Laplacian is solved on it.
        laplacian: the eigenpairs are those of a graph Laplacian, which methods of other stages may need.
    """

    call: Callable[[TokenBatch, Any], "Weights | list[Eigenpairs]"]
    options: type[Params] = LaplacianOptions
    gpu: Callable[[Any], bool] = on_device
    laplacian: bool = True

    def __post_init__(self) -> None:
        """Refuse options without those of the Laplacian.

        Raises:
            TypeError: as it says.
        """
        if self.laplacian and not issubclass(self.options, LaplacianOptions):
            raise TypeError(
                f"options: found {self.options.__name__}; a subclass of LaplacianOptions is needed, or laplacian=False"
            )
