"""Bilateral solver: the smoothest soft mask in a bilateral space that stays near the given one.

V vertices, P pixels.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.params import Params
from usseg.stages.refine.method import LabelMap, Refined, RefineMethod
from usseg.stages.refine.voting import of_255, strongest_label

F64 = npt.NDArray[np.float64]
BALANCING = 10  # rounds that make rows and columns of the blur add up to the vertices' pixels
# Rows: Y, U, V of R, G, B (Rec. 601, analog), chroma around 128.
YUV = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


class Options(Params):
    """Options of method `bilateral_solver`; the defaults are TokenCut's.

    A smoothness of 32 suits semantic maps of many labels.
    """

    xy: float = Field(16.0, ge=0.5, le=10_000, description="side of a cell, pixels")
    luma: float = Field(16.0, ge=0.5, le=10_000, description="and in lightness, of 255")
    chroma: float = Field(8.0, ge=0.5, le=10_000, description="and in either chroma, of 255")
    smoothness: float = Field(256.0, gt=0, le=1e9, description="lambda")
    confidence: float = Field(0.999, gt=0, le=1, description="weight of the given mask")
    iterations: int = Field(25, ge=1, le=10_000, description="of conjugate gradients")
    min_iou: float = Field(
        0.5, ge=0, le=1, description="of a map of one object: a result with a smaller IoU with the given one is dropped"
    )


@dataclass(frozen=True)
class BilateralSpace:
    """vertex_P: the cell of each pixel, row-major; blur: sparse (V, V), 2 x 5 times itself and its neighbours in 5 dimensions."""

    vertex_P: npt.NDArray[np.int64]
    blur: Any
    scale_V: F64  # n, that makes n blur n of 1
    mass_V: F64  # this: m

    def splat(self, values_P: npt.NDArray[np.floating]) -> F64:
        """Sum of each vertex's pixels, (V,)."""
        return np.bincount(self.vertex_P, values_P, len(self.scale_V)).astype(np.float64)


def bilateral_space(
    image: npt.NDArray[np.uint8], *, xy: float = 16.0, luma: float = 16.0, chroma: float = 8.0
) -> BilateralSpace:
    """The cells of position and colour that the pixels of an image fill.

    Args:
        image: uint8 RGB (height, width, 3).
        xy, luma, chroma: sides of a cell in pixels, in Y, and in U and V.

    Source: Barron and Poole, The Fast Bilateral Solver (ECCV 2016), section 2.
    """
    from scipy import sparse

    height, width = image.shape[:2]
    yuv = image.reshape(-1, 3) @ np.array(YUV).T + (0.0, 128.0, 128.0)
    rows, columns = np.divmod(np.arange(height * width), width)
    cells = np.stack([columns / xy, rows / xy, yuv[:, 0] / luma, yuv[:, 1] / chroma, yuv[:, 2] / chroma], axis=1)
    cells = np.floor(cells).astype(np.int64)
    cells -= cells.min(axis=0)
    # A free cell on either side, so that a neighbour's code is never that of a cell in another row.
    steps = np.cumprod([1, *(cells.max(axis=0)[:-1] + 2)])
    codes, vertex = np.unique(cells @ steps, return_inverse=True)
    count = len(codes)
    blur = 2.0 * cells.shape[1] * sparse.eye_array(count, format="csr")
    for step in steps.tolist():
        place = np.minimum(np.searchsorted(codes, codes + step), count - 1)
        here = np.flatnonzero(codes[place] == codes + step)
        joined = sparse.csr_array((np.ones(len(here)), (here, place[here])), shape=(count, count))
        blur = blur + joined + joined.T
    pixels = np.bincount(vertex.reshape(-1), minlength=count).astype(np.float64)
    scale = np.ones(count)
    for _ in range(BALANCING):
        scale = np.sqrt(scale * pixels / (blur @ scale))
    return BilateralSpace(vertex.reshape(-1), blur, scale, scale * (blur @ scale))


def solve(
    target_P: npt.NDArray[np.floating],
    space: BilateralSpace,
    *,
    smoothness: float = 256.0,
    confidence: float = 0.999,
    iterations: int = 25,
) -> F64:
    """The soft mask x = S^T y with (lambda (Dm - Dn B Dn) + diag(S c)) y = S (c t), by conjugate gradients: float64 (P,).

    Args:
        target_P: t, a value a pixel, row-major.
        space: of the image.
        smoothness: lambda.
        confidence: c, of every pixel.
        iterations: at most; the residual is brought to 1e-5 of the right side.

    Source: Barron and Poole (ECCV 2016), equations 3 to 6, Jacobi preconditioner.
    """
    from scipy import sparse
    from scipy.sparse.linalg import cg

    weight = space.splat(np.full(len(target_P), confidence))
    right = space.splat(confidence * np.asarray(target_P, np.float64))
    scale = sparse.diags_array(space.scale_V)
    matrix = smoothness * (sparse.diags_array(space.mass_V) - scale @ space.blur @ scale) + sparse.diags_array(weight)
    inverse = sparse.diags_array(1.0 / np.maximum(matrix.diagonal(), 1e-5))
    found, _ = cg(matrix.tocsr(), right, x0=right / weight, rtol=1e-5, atol=0.0, maxiter=iterations, M=inverse)
    return np.asarray(found[space.vertex_P])


def object_kept(found: npt.NDArray[np.integer], given: npt.NDArray[np.integer], *, min_iou: float) -> bool:
    """Whether the object of a map of background and one object, if it is one, has at least this IoU with the given one (FOUND)."""
    if given.min() != 0 or len(np.unique(given)) != 2:
        return True
    return bool(((found > 0) & (given > 0)).sum() >= min_iou * ((found > 0) | (given > 0)).sum())


def refine(given: LabelMap, options: Options) -> Refined:
    """Each pixel takes the label whose solved mask is largest; it keeps its own where the object is lost."""
    space = bilateral_space(given.pixels, xy=options.xy, luma=options.luma, chroma=options.chroma)

    def smooth(mask: npt.NDArray[Any]) -> F64:
        flat = mask.reshape(-1).astype(np.float64)
        settings = options.model_dump(include={"smoothness", "confidence", "iterations"})
        return solve(flat, space, **settings).reshape(mask.shape)

    found, labels = strongest_label(given, smooth), given.upsampled
    if object_kept(found.labels, labels, min_iou=options.min_iou):
        return found
    return Refined(labels, of_255(labels > 0), given.masks)


METHOD = RefineMethod(
    summary="Each label's mask is smoothed within regions of one colour (fast bilateral solver).",
    call=refine,
    options=Options,
    source="Barron and Poole, The Fast Bilateral Solver (ECCV 2016); defaults of TokenCut",
)
