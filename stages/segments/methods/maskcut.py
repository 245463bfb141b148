"""Several objects: repeated normalised cuts, each on the tokens that no object has yet (MaskCut of CutLER)."""

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

SMALLEST = 0.01  # a mask after the first one must cover more than this share of the image
OVERLAP = 0.5  # a mask with a larger IoU with the mask before is the same object


class Options(Params):
    """Options of method `maskcut`."""

    masks: int = Field(3, ge=1, le=1000, description="largest number of objects")
    tau: float = Field(0.15, ge=-1, le=1, description="cosine above which an edge has weight 1")
    eps: float = Field(1e-5, gt=0, le=1, description="weight of the other edges")
    released: bool = Field(
        False,
        description="as the released code: tokens of a mask stay in the graph as zeros, and a rejected mask is empty",
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
    """The objects of an image in the order of the cuts: disjoint masks, bool (row, column) each.

    Each cut divides the tokens that no mask contains yet. The search ends at a mask of at most 1 % of the image. There
    is no mask where all tokens are equally similar.

    Source: Wang et al., CutLER (CVPR 2023), section 3.1.
    """
    if released:
        return released_masks(features_NC, grid, masks=masks, tau=tau, eps=eps)
    weights = token_graph(features_NC, tau=tau, eps=eps)
    free = np.ones(len(weights), np.bool_)
    objects: list[Mask] = []
    while len(objects) < masks and free.sum() >= 2:
        value, part = second_eigenpair(weights[np.ix_(free, free)])
        vector = np.zeros(len(weights))
        vector[free] = part
        mask = component_of(*cornered_side(vector, grid, free_N=free))
        if value > NO_CUT or (objects and mask.mean() <= SMALLEST):
            break
        objects.append(mask)
        free &= ~mask.reshape(-1)
    return objects


def released_masks(
    features_NC: npt.NDArray[np.floating], grid: tuple[int, int], *, masks: int, tau: float, eps: float
) -> list[Mask]:
    """The masks of the released code: a list of `masks` masks, bool (row, column), some of them empty.

    The tokens of a mask become zeros. They keep their place in the graph, without edges, and can be cut out again. A
    small mask, or a mask that mostly equals the mask before, becomes an empty mask. The next mask is then compared
    with the empty mask. An image whose tokens are all equally similar has no mask, unlike in the released code.
    """
    features = np.asarray(features_NC, np.float32).copy()
    objects: list[Mask] = []
    before = taken = np.zeros(grid, np.bool_)
    for step in range(masks if len(features) > 1 else 0):
        features[before.reshape(-1)] = 0
        value, vector = second_eigenpair(token_graph(features, tau=tau, eps=eps))
        if step == 0 and value > NO_CUT:
            break
        mask = component_of(*cornered_side(vector, grid))
        if step and rejected(mask, before):
            mask = np.zeros(grid, np.bool_)
        objects.append(mask & ~taken)
        taken, before = taken | objects[-1], mask
    return objects


def rejected(mask: Mask, before: Mask) -> bool:
    """Whether the released code empties a mask: it mostly equals the mask before, or covers at most 1 %."""
    return bool((mask & before).sum() > OVERLAP * (mask | before).sum() or mask.mean() <= SMALLEST)


def segment(tokens: ImageTokens, options: Options) -> npt.NDArray[np.int64]:
    """0 for the background, then 1 to at most `masks` in the order of the cuts: int64 (row, column)."""
    labels = np.zeros(tokens.grid, np.int64)
    for number, mask in enumerate(object_masks(tokens.features, tokens.grid, **options.model_dump()), start=1):
        labels[mask] = number
    return labels


METHOD = SegmentsMethod(
    summary="Several objects by repeated normalised cuts of the remaining tokens (CutLER).",
    call=segment,
    options=Options,
    objects=True,
    pair_bytes=GRAPH_BYTES,
    source="Wang et al., CutLER (CVPR 2023), section 3.1",
)
