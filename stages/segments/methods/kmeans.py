"""k-means on the patch features themselves (DSM's `kmeans_baseline`)."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.params import Params
from usseg.stages.segments.eigengap import eigengap_segments
from usseg.stages.segments.genetic_kmeans import kmeans_labels
from usseg.stages.segments.method import ImageTokens, SegmentsMethod, check_laplacian

LARGEST = 32766  # the largest segment id that an int16 map can hold


class Options(Params):
    """Options of method `kmeans`."""

    num_segments: Annotated[int, Field(ge=1, le=LARGEST)] | Literal["eigengap"] = Field(
        10, description="number of segments of an image; eigengap: taken from the largest gap between its eigenvalues"
    )
    n_init: int = Field(10, ge=1, le=1000, description="k-means starts")
    generations: int = Field(
        0,
        ge=0,
        le=1000,
        description="generations of the search; with 25 the segments hardly depend on the seed",
    )


def reads_spectrum(options: Options) -> tuple[str, ...]:
    """Stage eigen, where the eigengap gives the number of segments."""
    return ("eigen",) if options.num_segments == "eigengap" else ()


def fewest_tokens(options: Options) -> int:
    """One token for each requested segment; 1 where the eigengap gives the number."""
    return 1 if options.num_segments == "eigengap" else options.num_segments


def check(options: Options, sections: Mapping[str, Any]) -> None:
    """Refuse the eigengap where the affinity has no Laplacian.

    Raises:
        ParamsError: `eigen.affinity` has no Laplacian.
    """
    if options.num_segments == "eigengap":
        key, needs = "segments.options.num_segments", "it reads the eigenvalues of a Laplacian"
        check_laplacian(key, "eigengap", needs, sections)


def number_of_segments(tokens: ImageTokens, options: Options) -> int:
    """The number of segments: from the options, or from the eigengap."""
    return eigengap_segments(tokens.eigenvalues) if options.num_segments == "eigengap" else options.num_segments


def token_clusters(points_NC: npt.NDArray[np.floating], tokens: ImageTokens, options: Options) -> npt.NDArray[np.int64]:
    """The k-means labels of an image's tokens, int64 (row, column), from 0.

    Each token is a point of `points_NC`, floats (N, C).
    """
    labels = kmeans_labels(
        points_NC,
        k=number_of_segments(tokens, options),
        seed=tokens.seed,
        n_init=options.n_init,
        generations=options.generations,
    )
    return labels.reshape(tokens.grid)


def segment(tokens: ImageTokens, options: Options) -> npt.NDArray[np.int64]:
    """The segment of each token, int64 (row, column), from 0."""
    return token_clusters(tokens.features, tokens, options)


METHOD = SegmentsMethod(
    summary="k-means on the patch features of each image (DSM's baseline).",
    call=segment,
    options=Options,
    reads=reads_spectrum,
    check=check,
    fewest_tokens=fewest_tokens,
    source="Melas-Kyriazi et al., Deep Spectral Methods (CVPR 2022), kmeans_baseline of its code",
)
