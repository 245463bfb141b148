"""One object: the positive side of the second eigenvector (DSM, single-region segmentation)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.params import Params
from usseg.stages.segments.method import ImageTokens, SegmentsMethod, check_laplacian, reads_eigenvectors


class Options(Params):
    """Options of method `fiedler`."""

    threshold: float = Field(
        0.0, ge=-1e6, le=1e6, description="eigenvector value above which a token belongs to the object"
    )


def object_mask(eigenvector_N: npt.NDArray[np.floating], *, threshold: float = 0.0) -> npt.NDArray[np.bool_]:
    """The tokens whose value is above the threshold, bool (N,).

    If all tokens are above it, the mask is empty: a cut has two sides.
    """
    mask = eigenvector_N > threshold
    return mask & ~mask.all()


def check(options: Options, sections: Mapping[str, Any]) -> None:
    """Refuse an affinity without a Laplacian.

    Raises:
        ParamsError: `eigen.affinity` has no Laplacian.
    """
    check_laplacian("segments.method", "fiedler", "it cuts by the second eigenvector of a Laplacian", sections)


def segment(tokens: ImageTokens, options: Options) -> npt.NDArray[np.int64]:
    """1 for the object, the smaller side of the cut, and 0 elsewhere: int64 (row, column).

    All 0 where no cut exists.
    """
    if tokens.degenerate:
        return np.zeros(tokens.grid, np.int64)
    mask = object_mask(tokens.eigenvectors[1], threshold=options.threshold)
    return mask.astype(np.int64).reshape(tokens.grid)


METHOD = SegmentsMethod(
    summary="One object: the positive side of the second eigenvector (DSM).",
    call=segment,
    options=Options,
    reads=reads_eigenvectors,
    check=check,
    objects=True,
    source="Melas-Kyriazi et al., Deep Spectral Methods (CVPR 2022), single-region segmentation",
)
