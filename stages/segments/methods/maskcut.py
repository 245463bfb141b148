"""Several objects: a cut, then a cut of what is left, and so on (MaskCut of CutLER)."""

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.params import Params
from usseg.stages.segments.cuts import (
    GRAPH_BYTES,
    NO_CUT,
    Mask,
    component_of,
    cornered_side,
    second_eigenpair,
    token_graph,
)
from usseg.stages.segments.method import ImageTokens, SegmentsMethod

SMALLEST = 0.01  # share of the image that a mask after the first must exceed
OVERLAP = 0.5  # IoU with an earlier mask above which a mask is that object again


class Options(Params):
    """Options of method `maskcut`."""

    masks: int = Field(3, ge=1, le=1000, description="most objects")
    tau: float = Field(0.15, ge=-1, le=1, description="cosine above which two tokens are joined")
    eps: float = Field(1e-5, gt=0, le=1, description="weight of the other edges")
    released: bool = Field(
        False,
        description="as the released code: taken tokens stay in the graph as zeros, and a rejected mask is forgotten",
    )


def object_masks(
    features_NC: npt.NDArray[np.floating],
    grid: tuple[int, int],
    *,
    masks: int = 3,
    tau: float = 0.15,
    eps: float = 1e-5,
    released: bool = False,
) -> list[Mask]:
    """The objects of an image in the order found, bool (row, column), disjoint; none where all tokens look alike.

    Each cut is that of the tokens not taken yet; the search ends at a mask of at most a hundredth of the image.

    Source: Wang et al., CutLER (CVPR 2023), section 3.1.
    """
    if released:
        return released_masks(features_NC, grid, masks=masks, tau=tau, eps=eps)
    weights = token_graph(features_NC, tau=tau, eps=eps)
    free = np.ones(len(weights), np.bool_)
    found: list[Mask] = []
    while len(found) < masks and free.sum() >= 2:
        value, part = second_eigenpair(weights[np.ix_(free, free)])
        vector = np.zeros(len(weights))
        vector[free] = part
        mask = component_of(*cornered_side(vector, grid, free_N=free))
        if value > NO_CUT or (found and mask.mean() <= SMALLEST):
            break
        found.append(mask)
        free &= ~mask.reshape(-1)
    return found


def released_masks(
    features_NC: npt.NDArray[np.floating], grid: tuple[int, int], *, masks: int, tau: float, eps: float
) -> list[Mask]:
    """`masks` masks as the released code returns them, empty ones included, for any grid.

    Taken tokens become zeros: they are joined to nothing and can be cut out again. A mask that is small, or mostly the
    one before, counts as empty, and the next is compared with that. (An image whose tokens all look alike has no mask
    here.)
    """
    features = np.asarray(features_NC, np.float32).copy()
    found: list[Mask] = []
    before = taken = np.zeros(grid, np.bool_)
    for step in range(masks if len(features) > 1 else 0):
        features[before.reshape(-1)] = 0
        value, vector = second_eigenpair(token_graph(features, tau=tau, eps=eps))
        if step == 0 and value > NO_CUT:
            break
        mask = component_of(*cornered_side(vector, grid))
        if step and rejected(mask, before):
            mask = np.zeros(grid, np.bool_)
        found.append(mask & ~taken)
        taken, before = taken | found[-1], mask
    return found


def rejected(mask: Mask, before: Mask) -> bool:
    """Whether the released code takes a mask for empty: mostly the one before, or at most a hundredth of the image."""
    return bool((mask & before).sum() > OVERLAP * (mask | before).sum() or mask.mean() <= SMALLEST)


def segment(tokens: ImageTokens, options: Options) -> npt.NDArray[np.int64]:
    """0 and 1 to at most `masks` (row, column), in the order found."""
    labels = np.zeros(tokens.grid, np.int64)
    for number, mask in enumerate(object_masks(tokens.features, tokens.grid, **options.model_dump()), start=1):
        labels[mask] = number
    return labels


METHOD = SegmentsMethod(
    summary="Several objects: a normalised cut, then a cut of what is left, and so on (CutLER).",
    call=segment,
    options=Options,
    objects=True,
    pair_bytes=GRAPH_BYTES,
    source="Wang et al., CutLER (CVPR 2023), section 3.1",
)
