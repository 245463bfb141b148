"""One object: the side of a normalised cut that holds the token farthest from the rest (TokenCut)."""

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

    tau: float = Field(0.2, ge=-1, le=1, description="cosine above which two tokens are joined")
    eps: float = Field(1e-5, gt=0, le=1, description="weight of the other edges")
    binary: bool = Field(True, description="joined tokens have weight 1; false: their cosine")


def object_mask(
    features_NC: npt.NDArray[np.floating],
    grid: tuple[int, int],
    *,
    tau: float = 0.2,
    eps: float = 1e-5,
    binary: bool = True,
) -> Mask:
    """The object of an image, bool (row, column); empty where all tokens look alike or there is only one.

    Source: Wang et al., TokenCut (CVPR 2022): the piece of the seed's side that is connected to the seed.
    """
    empty = np.zeros(grid, np.bool_)
    if len(features_NC) < 2:
        return empty
    value, vector = second_eigenpair(token_graph(features_NC, tau=tau, eps=eps, binary=binary))
    return empty if value > NO_CUT else component_of(*seeded_side(vector, grid))


def segment(tokens: ImageTokens, options: Options) -> npt.NDArray[np.int64]:
    """0 and 1 (row, column); 1 is the object."""
    return object_mask(tokens.features, tokens.grid, **options.model_dump()).astype(np.int64)


METHOD = SegmentsMethod(
    summary="One object: the side of a normalised cut that holds the token farthest from the rest (TokenCut).",
    call=segment,
    options=Options,
    objects=True,
    pair_bytes=GRAPH_BYTES,
    source="Wang et al., TokenCut (CVPR 2022)",
)
