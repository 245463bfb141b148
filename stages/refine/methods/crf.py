"""Fully connected CRF: pixels that are near, or near and of similar colour, tend to have the same label.

Letters: P pixels, L labels.
Mean field inference runs on the permutohedral lattice. The originals use pydensecrf, which has no wheels and does not
compile for Python 3.11.
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

LABELS_AT_ONCE = 8  # labels that are filtered at a time
NO_KERNEL_OPTIONS = {"floor", "iterations", "evidence", "labels", "min_iou"}


class Options(Params):
    """Options of method `crf`. Kernels and iterations are those of CutLER.

    DSM: weights 10 and 3; deviations 80, 13 and 3; 5 iterations; floor 1e-5, with which few labels change. PriMaPs:
    weights 4 and 3; deviations 67, 3 and 1; 10 iterations; floor 1 / e, as CutLER.
    """

    bilateral_weight: float = Field(10.0, ge=0, le=1e6, description="weight of the kernel of position and colour")
    bilateral_xy: float = Field(50.0, ge=0.1, le=10_000, description="its standard deviation in position, pixels")
    bilateral_rgb: float = Field(5.0, ge=0.1, le=10_000, description="its standard deviation in colour, levels of 255")
    gaussian_weight: float = Field(7.0, ge=0, le=1e6, description="weight of the kernel of position")
    gaussian_xy: float = Field(3.0, ge=0.1, le=10_000, description="its standard deviation, pixels")
    iterations: int = Field(10, ge=1, le=1000, description="iterations of mean field")
    floor: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="unary probability of all other labels, as a share of that of the given label",
    )
    evidence: Literal["nearest", "linear"] = Field(
        "nearest",
        description="nearest: the unary term of the pixel's token; linear: interpolated between tokens "
        "(PriMaPs, whose mask logits are 0 and 1); soft masks of a filter before replace both",
    )
    labels: Literal["together", "each"] = Field(
        "together",
        description="together: one CRF for all labels; each: a CRF for each label but 0 against the rest, holes filled "
        "(MaskCut), where a pixel keeps the smallest of several labels",
    )
    min_iou: float = Field(
        0.5, ge=0, le=1, description="labels: each; below this IoU with the given mask a mask becomes background"
    )


def positions(size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """The column and the row of each pixel in row-major order: float64 (P, 2)."""
    rows, columns = np.divmod(np.arange(size[0] * size[1]), size[1])
    return np.stack([columns, rows], axis=1).astype(np.float64)


def normalizer(lattice: Lattice, count: int) -> F32:
    """The vector (K 1)^-1/2 for the kernel matrix K: float32 (P, 1)."""
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
    """Mean field inference in a CRF with Potts weights and two kernels. Each kernel is (K 1)^-1/2 K (K 1)^-1/2.

    The memory is three float32 arrays of P x L numbers, and for each kernel a lattice of less than 100 bytes a pixel.

    Args:
        probabilities_PL: floats above 0 (pixel, label), pixels in row-major order.
        image: uint8 RGB (height, width, 3).
        bilateral_weight, bilateral_xy, bilateral_rgb: weight and standard deviations of the kernel of position and
            colour, in pixels and levels of 255.
        gaussian_weight, gaussian_xy: weight and standard deviation of the kernel of position.
        iterations: iterations of mean field.

    Returns:
        float32 (pixel, label). Each row sums to 1.

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
    """The weight, lattice and normaliser of each kernel of an image, uint8 RGB (height, width, 3).

    Kernels of weight 0 are left out.
    """
    position = positions(image.shape[:2])
    kernels = []
    if bilateral_weight:
        colors = image.reshape(-1, 3) / bilateral_rgb
        kernels.append((bilateral_weight, lattice_of(np.concatenate([position / bilateral_xy, colors], axis=1))))
    if gaussian_weight:
        kernels.append((gaussian_weight, lattice_of(position / gaussian_xy)))
    return [(weight, lattice, normalizer(lattice, len(position))) for weight, lattice in kernels]


def mean_field(
    probabilities_PL: npt.NDArray[np.floating], kernels: Sequence[tuple[float, Lattice, F32]], *, iterations: int
) -> F32:
    """The label probabilities after `iterations` of mean field: float32 (pixel, label). See `dense_crf`."""
    evidence = np.log(np.asarray(probabilities_PL, np.float32))
    beliefs = softmax(evidence)
    for _ in range(iterations):
        scores = evidence.copy()
        for weight, lattice, norm in kernels:
            for start in range(0, beliefs.shape[1], LABELS_AT_ONCE):
                part = slice(start, start + LABELS_AT_ONCE)
                scores[:, part] += np.float32(weight) * norm * lattice.filter(norm * beliefs[:, part])
        beliefs = softmax(scores)
    return beliefs


def softmax(scores_PL: F32) -> F32:
    """The softmax over labels, float32 (pixel, label)."""
    out = scores_PL - scores_PL.max(axis=1, keepdims=True)
    np.exp(out, out=out)
    out /= out.sum(axis=1, keepdims=True)
    return out


def check(options: Options, sections: Mapping[str, Any]) -> None:
    """Refuse `labels: each` where the maps have no background.

    Raises:
        ParamsError: names the key and the param by which there is no background.
    """
    tokens = sections["refine"].source == "assign" and sections["cluster"].rows == "tokens"
    if options.labels == "each" and (tokens or sections["segments"].background == "none"):
        other, cure = ("cluster.rows: tokens", "segments") if tokens else ("segments.background: none", "border")
        raise refused(
            f"{sections['refine'].place_of('crf')}.labels",
            "each",
            f"{other} leaves no background; set it to {cure}, or together here",
        )


def refine(given: LabelMap, options: Options) -> Refined:
    """Give each pixel its most probable label among the labels of the map; of equals the smallest."""
    labels, present = given.upsampled, np.array(given.present)
    if len(present) == 1:
        return Refined(labels, of_255(labels > 0))
    kernels = kernels_of(given.pixels, **options.model_dump(exclude=NO_KERNEL_OPTIONS))
    if options.labels == "each":
        return each_mask(given, kernels, options)
    if options.evidence == "linear" or given.masks:
        shares = np.stack([given.share(label).reshape(-1) for label in given.present], axis=1)
        probabilities = np.float32(options.floor) ** (1 - shares)
    else:
        probabilities = np.where(labels.reshape(-1, 1) == present, np.float32(1), np.float32(options.floor))
    beliefs = mean_field(probabilities, kernels, iterations=options.iterations)
    background = beliefs[:, 0] if present[0] == 0 else np.zeros(len(beliefs), np.float32)
    most_probable = np.asarray(present[beliefs.argmax(axis=1)].reshape(labels.shape), np.int16)
    masks = {label: beliefs[:, place].reshape(labels.shape) for place, label in enumerate(given.present)}
    return Refined(most_probable, of_255(1 - background.reshape(labels.shape)), masks if given.masks_wanted else None)


def each_mask(given: LabelMap, kernels: Sequence[tuple[float, Lattice, F32]], options: Options) -> Refined:
    """One CRF for each label above 0 against the rest; holes of the mask are filled.

    A mask whose IoU with the given mask is below `min_iou` becomes background.

    Source: Wang et al., CutLER (CVPR 2023), MaskCut's code.
    """
    from scipy.ndimage import binary_fill_holes

    out, foreground = np.zeros(given.size, np.int16), np.zeros(given.size, np.float32)
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
        foreground = np.maximum(foreground, np.where(filled & ~mask, np.float32(1), belief))
    return Refined(out, of_255(foreground))


METHOD = RefineMethod(
    summary="Fully connected conditional random field: near pixels of similar colour tend to have the same label.",
    call=refine,
    options=Options,
    check=check,
    source="Krähenbühl and Koltun, Efficient Inference in Fully Connected CRFs (NIPS 2011); defaults of CutLER",
)
