"""How many segments an image has, by the gaps between its eigenvalues. K eigenvalues."""

import numpy as np
import numpy.typing as npt


def eigengap_segments(eigenvalues_K: npt.NDArray[np.floating]) -> int:
    """Count the eigenvalues below the largest gap. The gap after the first eigenvalue is left out, as in DSM.

    Args:
        eigenvalues_K: floats (K,), those of a graph Laplacian in ascending order.

    Returns:
        the number of segments: 2 to K - 1, and 2 where K is below 3.

    Source: the released code of Melas-Kyriazi et al., Deep Spectral Methods (CVPR 2022).
    """
    gaps = np.diff(eigenvalues_K)[1:]
    return int(gaps.argmax()) + 2 if len(gaps) else 2
