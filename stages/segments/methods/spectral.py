"""k-means on the non-trivial eigenvectors (DSM, multi-region segmentation)."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.params import refused
from usseg.stages.segments.method import ImageTokens, SegmentsMethod, reads_eigenvectors
from usseg.stages.segments.methods import kmeans


class Options(kmeans.Options):
    """Options of method `spectral`."""

    num_eigenvectors: Annotated[int, Field(ge=1, le=4096)] | Literal["segments", "all"] | None = Field(
        None,
        description="number of eigenvectors after the trivial one; segments: one less than the segments; "
        "all: all stored ones (DSM); null: segments where num_segments is eigengap, else all",
    )


def check(options: Options, sections: Mapping[str, Any]) -> None:
    """Refuse more eigenvectors than stage eigen stores.

    Raises:
        ParamsError: names the key, the value and what is allowed.
    """
    kmeans.check(options, sections)
    used, key, k = options.num_eigenvectors, "segments.options.num_eigenvectors", sections["eigen"].k
    wanted = options.num_segments
    if used == "segments" and wanted != "eigengap" and wanted > k:
        raise refused(
            key,
            used,
            f"segments.options.num_segments: {wanted} asks for {wanted - 1} eigenvectors, eigen.k: {k} leaves {k - 1} "
            f"after the trivial one; set eigen.k to {wanted} or more, or take fewer segments",
        )
    if isinstance(used, int) and used >= k:
        raise refused(
            key,
            used,
            f"eigen.k: {k} leaves {k - 1} after the trivial one; at most that is allowed, or a larger eigen.k",
        )


def segment(tokens: ImageTokens, options: Options) -> npt.NDArray[np.int64]:
    """The segment of each token, int64 (row, column), from 0. One segment where all tokens are equally similar."""
    if tokens.degenerate:
        return np.zeros(tokens.grid, np.int64)
    return kmeans.token_clusters(tokens.eigenvectors[1 : last_eigenvector(tokens, options)].T, tokens, options)


def last_eigenvector(tokens: ImageTokens, options: Options) -> int | None:
    """The row after the last eigenvector that k-means reads; None: all rows are read.

    The eigenvectors after the eigengap are noise. With them, k-means does not find the segments that the gap counts.
    """
    wanted = options.num_eigenvectors
    if wanted is None:
        wanted = "segments" if options.num_segments == "eigengap" else "all"
    if wanted == "segments":
        return max(2, kmeans.number_of_segments(tokens, options))
    return None if wanted == "all" else 1 + wanted


METHOD = SegmentsMethod(
    summary="k-means on the eigenvectors of each image's graph (DSM).",
    call=segment,
    options=Options,
    reads=reads_eigenvectors,
    check=check,
    fewest_tokens=kmeans.fewest_tokens,
    source="Melas-Kyriazi et al., Deep Spectral Methods (CVPR 2022), multi-region segmentation",
)
