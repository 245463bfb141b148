"""One object: the side of a normalised cut that contains the token with the largest eigenvector value (TokenCut)."""

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.params import Params
from usseg.stages.segments.cuts import (
    GRAPH_BYTES,
    NO_CUT,
    Mask,
    component_of,
    second_eigenpair,
    seeded_side,
    token_graph,
)
from usseg.stages.segments.method import ImageTokens, SegmentsMethod


class Options(Params):
    """Options of method `tokencut`."""

    tau: float = Field(0.2, ge=-1, le=1, description="cosine above which an edge has weight 1")
    eps: float = Field(1e-5, gt=0, le=1, description="weight of the other edges")
    binary: bool = Field(True, description="weight of an edge above tau: true, 1; false, the cosine")


def object_mask(
    features_NC: npt.NDArray[np.floating],
    grid: tuple[int, int],
    *,
    tau: float = 0.2,
    eps: float = 1e-5,
    binary: bool = True,
) -> Mask:
    """The object of an image: bool (row, column), the connected component of the seed in the seed's side of the cut.

    It is empty where all tokens are equally similar, and where there is only one token.

    Source: Wang et al., TokenCut (CVPR 2022).
    """
    empty = np.zeros(grid, np.bool_)
    if len(features_NC) < 2:
        return empty
    value, vector = second_eigenpair(token_graph(features_NC, tau=tau, eps=eps, binary=binary))
    return empty if value > NO_CUT else component_of(*seeded_side(vector, grid))


def segment(tokens: ImageTokens, options: Options) -> npt.NDArray[np.int64]:
    """1 for the object, 0 elsewhere: int64 (row, column)."""
    return object_mask(tokens.features, tokens.grid, **options.model_dump()).astype(np.int64)


METHOD = SegmentsMethod(
    summary="One object: the side of a normalised cut with the largest eigenvector value (TokenCut).",
    call=segment,
    options=Options,
    objects=True,
    pair_bytes=GRAPH_BYTES,
    source="Wang et al., TokenCut (CVPR 2022)",
)
