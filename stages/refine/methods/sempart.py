"""The fine branch of a trained Sempart: the object of an image at the size of its pixels.

Letters: an image has H x W pixels.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from usseg.pipeline.methods import NoOptions, names_of, on_device
from usseg.pipeline.params import refused
from usseg.stages.refine.method import LabelMap, Refined, RefineMethod
from usseg.stages.refine.voting import of_255


def reads_segmenter(options: NoOptions) -> tuple[str, ...]:
    """Stage segmenter, which holds the trained network."""
    return ("segmenter",)


def check(options: NoOptions, sections: Mapping[str, Any]) -> None:
    """Refuse a map that is not the coarse mask of the same network, and a filter before this one.

    Raises:
        ParamsError: names the key and its value.
    """
    refine, segments, cluster = sections["refine"], sections["segments"], sections["cluster"]
    if segments.method != "sempart":
        raise refused("segments.method", segments.method, "refine.method: sempart needs sempart here too")
    if segments.background == "none":
        raise refused("segments.background", "none", "refine.method: sempart needs the background; set it to border")
    if refine.source == "assign" and cluster.rows == "tokens":
        raise refused("cluster.rows", "tokens", "refine.method: sempart needs segments here")
    if "sempart" in names_of(refine.method)[1:]:
        raise refused("refine.method", refine.method, "sempart makes the map anew; put it first")


def refine(given: LabelMap, options: NoOptions) -> Refined:
    """Give the label of the object to each pixel whose probability by the fine branch is above 0.5, and 0 to the rest.

    Where the coarse mask has no object, or where it was split, the object is `given.unseen` or the larger part. Without
    a label the map has no object, but `foreground` has the probabilities of the fine branch.
    """
    assert given.fine is not None
    labels, counts = np.unique(given.labels[given.labels > 0], return_counts=True)
    label = int(labels[counts.argmax()]) if len(labels) else given.unseen
    inside = given.fine > 0.5
    maps = np.where(inside, np.int16(label), np.int16(0))
    masks = {0: 1 - given.fine, label: given.fine} if label and given.masks_wanted else None
    return Refined(maps, of_255(given.fine), masks)


METHOD = RefineMethod(
    summary="The fine mask of the trained head of Sempart.",
    call=refine,
    reads=reads_segmenter,
    gpu=on_device,
    check=check,
    source="Sempart (ICCV 2023) as re-implemented in Two Tricks, appendix A",
)
