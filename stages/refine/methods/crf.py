"""Fully connected CRF: pixels that are near, or near and of one colour, take one label. P pixels, L labels.

Own mean field on the permutohedral lattice: pydensecrf, which the originals use, has no wheels and no longer compiles
(Python 3.11).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.params import Params, refused
from usseg.stages.refine.lattice import F32, Lattice, lattice_of
from usseg.stages.refine.method import LabelMap, Refined, RefineMethod
from usseg.stages.refine.voting import of_255

TOGETHER = 8  # labels filtered at a time
OTHERS = {"floor", "iterations", "evidence", "labels", "min_iou"}  # options that are not of the kernels


class Options(Params):
    """Options of method `crf`; kernels and iterations are CutLER's.

    DSM: weights 10 and 3, deviations 80, 13 and 3, 5 iterations, floor 1e-5, at which few labels change. PriMaPs: 4
    and 3; 67, 3 and 1; 10; and like CutLER a floor of 1 / e.
    """

    bilateral_weight: float = Field(10.0, ge=0, le=1e6, description="of the kernel of position and colour")
    bilateral_xy: float = Field(50.0, ge=0.1, le=10_000, description="its standard deviation, pixels")
    bilateral_rgb: float = Field(5.0, ge=0.1, le=10_000, description="and in colour, of 255")
    gaussian_weight: float = Field(7.0, ge=0, le=1e6, description="of the kernel of position")
    gaussian_xy: float = Field(3.0, ge=0.1, le=10_000, description="its standard deviation, pixels")
    iterations: int = Field(10, ge=1, le=1000, description="of mean field")
    floor: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="probability of a label that the map does not give, as a share of one that it gives",
    )
    evidence: Literal["nearest", "linear"] = Field(
        "nearest",
        description="a pixel has that of its token, or its logarithm is interpolated between tokens (PriMaPs, whose mask logits are 0 and 1); "
        "after a filter that gives soft masks, these are the evidence",
    )
    labels: Literal["together", "each"] = Field(
        "together",
        description="all at once, or each but 0 against all else, its holes filled (MaskCut); of two the smaller keeps a pixel",
    )
    min_iou: float = Field(
        0.5, ge=0, le=1, description="each: a mask that has less in common with what it was becomes background"
    )


def positions(size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Column and row of each pixel, row-major: (P, 2)."""
    rows, columns = np.divmod(np.arange(size[0] * size[1]), size[1])
    return np.stack([columns, rows], axis=1).astype(np.float64)


def normalizer(lattice: Lattice, count: int) -> F32:
    """(K 1)^-1/2 a pixel, (P, 1)."""
    total = lattice.filter(np.ones((count, 1), np.float32))
    return np.asarray(1.0 / np.sqrt(total + np.float32(1e-20)), np.float32)


def dense_crf(
    probabilities_PL: npt.NDArray[np.floating],
    image: npt.NDArray[np.uint8],
    *,
    bilateral_weight: float = 10.0,
    bilateral_xy: float = 50.0,
    bilateral_rgb: float = 5.0,
    gaussian_weight: float = 7.0,
    gaussian_xy: float = 3.0,
    iterations: int = 10,
) -> F32:
    """Mean field of a CRF with Potts weights and two kernels, each normalised on both sides (K 1)^-1/2 K (K 1)^-1/2.

    Holds three arrays of P x L float32, and for each kernel a lattice of less than 100 bytes a pixel.

    Args:
        probabilities_PL: floats above 0 (pixel, label), row-major.
        image: uint8 RGB (height, width, 3).
        bilateral_weight, bilateral_xy, bilateral_rgb: weight and standard deviations, pixels and levels of 255.
        gaussian_weight, gaussian_xy: of the kernel of position alone.
        iterations: of mean field.

    Returns:
        float32 (pixel, label), rows add up to 1.

    Source: Kraehenbuehl and Koltun, Efficient Inference in Fully Connected CRFs (NeurIPS 2011), algorithm 1 and their
    code.
    """
    kernels = kernels_of(
        image,
        bilateral_weight=bilateral_weight,
        bilateral_xy=bilateral_xy,
        bilateral_rgb=bilateral_rgb,
        gaussian_weight=gaussian_weight,
        gaussian_xy=gaussian_xy,
    )
    return mean_field(probabilities_PL, kernels, iterations=iterations)


def kernels_of(
    image: npt.NDArray[np.uint8],
    *,
    bilateral_weight: float,
    bilateral_xy: float,
    bilateral_rgb: float,
    gaussian_weight: float,
    gaussian_xy: float,
) -> list[tuple[float, Lattice, F32]]:
    """Weight, lattice and norm of each kernel whose weight is not 0, of an image uint8 RGB (height, width, 3)."""
    place = positions(image.shape[:2])
    kernels = []
    if bilateral_weight:
        colors = image.reshape(-1, 3) / bilateral_rgb
        kernels.append((bilateral_weight, lattice_of(np.concatenate([place / bilateral_xy, colors], axis=1))))
    if gaussian_weight:
        kernels.append((gaussian_weight, lattice_of(place / gaussian_xy)))
    return [(weight, lattice, normalizer(lattice, len(place))) for weight, lattice in kernels]


def mean_field(
    probabilities_PL: npt.NDArray[np.floating], kernels: Sequence[tuple[float, Lattice, F32]], *, iterations: int
) -> F32:
    """Beliefs after some iterations, float32 (pixel, label); see `dense_crf`."""
    evidence = np.log(np.asarray(probabilities_PL, np.float32))
    beliefs = softmax(evidence)
    for _ in range(iterations):
        scores = evidence.copy()
        for weight, lattice, norm in kernels:
            for start in range(0, beliefs.shape[1], TOGETHER):
                part = slice(start, start + TOGETHER)
                scores[:, part] += np.float32(weight) * norm * lattice.filter(norm * beliefs[:, part])
        beliefs = softmax(scores)
    return beliefs


def softmax(scores_PL: F32) -> F32:
    """Row by row."""
    out = scores_PL - scores_PL.max(axis=1, keepdims=True)
    np.exp(out, out=out)
    out /= out.sum(axis=1, keepdims=True)
    return out


def check(options: Options, sections: Mapping[str, Any]) -> None:
    """Refuse masks against all else where there is no background."""
    tokens = sections["refine"].source == "assign" and sections["cluster"].rows == "tokens"
    if options.labels == "each" and (tokens or sections["segments"].background == "none"):
        other, cure = ("cluster.rows: tokens", "segments") if tokens else ("segments.background: none", "border")
        raise refused(
            f"{sections['refine'].place_of('crf')}.labels",
            "each",
            f"{other} leaves no background; set it to {cure}, or together here",
        )


def refine(given: LabelMap, options: Options) -> Refined:
    """Each pixel takes its most probable label of those in the map, the smallest of equals."""
    labels, present = given.upsampled, np.array(given.present)
    if len(present) == 1:
        return Refined(labels, of_255(labels > 0))
    kernels = kernels_of(given.pixels, **options.model_dump(exclude=OTHERS))
    if options.labels == "each":
        return each_mask(given, kernels, options)
    if options.evidence == "linear" or given.masks:
        shares = np.stack([given.share(label).reshape(-1) for label in given.present], axis=1)
        probabilities = np.float32(options.floor) ** (1 - shares)
    else:
        probabilities = np.where(labels.reshape(-1, 1) == present, np.float32(1), np.float32(options.floor))
    beliefs = mean_field(probabilities, kernels, iterations=options.iterations)
    background = beliefs[:, 0] if present[0] == 0 else np.zeros(len(beliefs), np.float32)
    found = np.asarray(present[beliefs.argmax(axis=1)].reshape(labels.shape), np.int16)
    masks = {label: beliefs[:, place].reshape(labels.shape) for place, label in enumerate(given.present)}
    return Refined(found, of_255(1 - background.reshape(labels.shape)), masks if given.masks_wanted else None)


def each_mask(given: LabelMap, kernels: Sequence[tuple[float, Lattice, F32]], options: Options) -> Refined:
    """Each label above 0 against all else, its holes filled; dropped where it has too little in common with its mask before.

    Source: Wang et al., CutLER (CVPR 2023), MaskCut's code.
    """
    from scipy.ndimage import binary_fill_holes

    out, sure = np.zeros(given.size, np.int16), np.zeros(given.size, np.float32)
    for label in [label for label in given.present if label > 0]:
        before = given.upsampled == label
        soft = given.share(label) if options.evidence == "linear" else given.mask(label)
        share = soft.astype(np.float32).reshape(-1)
        probabilities = np.float32(options.floor) ** np.stack([share, 1 - share], axis=1)
        belief = mean_field(probabilities, kernels, iterations=options.iterations)[:, 1].reshape(out.shape)
        mask = belief > 0.5
        filled = np.asarray(binary_fill_holes(mask))
        if (filled & before).sum() < options.min_iou * (filled | before).sum():
            continue
        out[filled & (out == 0)] = label
        sure = np.maximum(sure, np.where(filled & ~mask, np.float32(1), belief))
    return Refined(out, of_255(sure))


METHOD = RefineMethod(
    summary="Fully connected conditional random field: near pixels of one colour take one label.",
    call=refine,
    options=Options,
    check=check,
    source="Krähenbühl and Koltun, Efficient Inference in Fully Connected CRFs (NIPS 2011); defaults of CutLER",
)
