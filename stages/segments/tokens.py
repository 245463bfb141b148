"""What a segmentation method is given of one image."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class ImageTokens:
    """One image: h x w tokens, N = h w, row-major. K = 0 where the method reads no eigenvectors; no model labels where it reads no model."""

    grid: tuple[int, int]
    features: npt.NDArray[np.float32]  # (N, channel)
    eigenvalues: npt.NDArray[np.float64]  # (K,)
    eigenvectors: npt.NDArray[np.float32]  # (K, N), row 0 trivial
    degenerate: bool
    num_segments: int | None  # None: by the eigengap
    seed: int
    model_labels: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))  # (N,)
