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

LARGEST = 32766  # segment that an int16 map can hold


class Options(Params):
    """Options of method `kmeans`."""

    num_segments: Annotated[int, Field(ge=1, le=LARGEST)] | Literal["eigengap"] = Field(
        10, description="segments of an image: a number, or from the largest gap between eigenvalues"
    )
    n_init: int = Field(10, ge=1, le=1000, description="k-means starts")
    generations: int = Field(
        0, ge=0, le=1000, description="rounds of search after the starts; 25 find the same segments from any seed"
    )


def reads_spectrum(options: Options) -> tuple[str, ...]:
    """The eigenvalues, where their gap gives the number of segments."""
    return ("eigen",) if options.num_segments == "eigengap" else ()


def fewest_tokens(options: Options) -> int:
    """A token for each segment that is asked for by number."""
    return 1 if options.num_segments == "eigengap" else options.num_segments


def check(options: Options, sections: Mapping[str, Any]) -> None:
    """Refuse an eigengap that is none of a Laplacian."""
    if options.num_segments == "eigengap":
        key, needs = "segments.options.num_segments", "it reads the eigenvalues of a Laplacian"
        check_laplacian(key, "eigengap", needs, sections)


def number_of_segments(tokens: ImageTokens, options: Options) -> int:
    """The number that the options give, or that of the eigengap."""
    return eigengap_segments(tokens.eigenvalues) if options.num_segments == "eigengap" else options.num_segments


def token_clusters(points_NC: npt.NDArray[np.floating], tokens: ImageTokens, options: Options) -> npt.NDArray[np.int64]:
    """k-means labels (row, column) of an image's tokens, described by `points_NC`, into its number of segments."""
    labels = kmeans_labels(
        points_NC,
        k=number_of_segments(tokens, options),
        seed=tokens.seed,
        n_init=options.n_init,
        generations=options.generations,
    )
    return labels.reshape(tokens.grid)


def segment(tokens: ImageTokens, options: Options) -> npt.NDArray[np.int64]:
    """Labels (row, column) from 0."""
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
