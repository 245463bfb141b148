"""Fast bilateral solver: a soft mask that is smooth in a bilateral space and stays near the given mask.

Letters: V vertices (occupied cells of the bilateral space), P pixels.
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
BALANCING = 10  # iterations that scale the rows and columns of the blur to the numbers of pixels
# Rows: Y, U and V as functions of R, G and B (Rec. 601, full range). Chroma is centred at 128.
YUV = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


class Options(Params):
    """Options of method `bilateral_solver`. The defaults are those of TokenCut.

    For semantic maps of many labels a smoothness of 32 is suited better.
    """

    xy: float = Field(16.0, ge=0.5, le=10_000, description="side of a cell in position, pixels")
    luma: float = Field(16.0, ge=0.5, le=10_000, description="side of a cell in lightness Y, levels of 255")
    chroma: float = Field(8.0, ge=0.5, le=10_000, description="side of a cell in chroma U and V, levels of 255")
    smoothness: float = Field(256.0, gt=0, le=1e9, description="lambda, the weight of smoothness")
    confidence: float = Field(0.999, gt=0, le=1, description="c, the weight of the given mask")
    iterations: int = Field(25, ge=1, le=10_000, description="largest number of iterations of conjugate gradients")
    min_iou: float = Field(
        0.5, ge=0, le=1, description="for a map of one object: below this IoU with the given map the result is dropped"
    )


@dataclass(frozen=True)
class BilateralSpace:
    """The cells of position and colour that the pixels of an image occupy.

    Attributes:
        vertex_P: int64 (P,), the cell of each pixel in row-major order.
        blur: sparse (V, V), B: 10 times a cell plus its two neighbours along each of 5 dimensions.
        scale_V: float64 (V,), the vector n for which n * (B n) is the number of pixels of each cell.
        mass_V: float64 (V,), m = n * (B n).
    """

    vertex_P: npt.NDArray[np.int64]
    blur: Any
    scale_V: F64
    mass_V: F64

    def splat(self, values_P: npt.NDArray[np.floating]) -> F64:
        """The sum of the values of the pixels of each cell: float64 (V,)."""
        return np.bincount(self.vertex_P, values_P, len(self.scale_V)).astype(np.float64)


def bilateral_space(
    image: npt.NDArray[np.uint8], *, xy: float = 16.0, luma: float = 16.0, chroma: float = 8.0
) -> BilateralSpace:
    """Compute the bilateral space of an image.

    Args:
        image: uint8 RGB (height, width, 3).
        xy, luma, chroma: sides of a cell: in pixels, in levels of Y, and in levels of U and V.

    Source: Barron and Poole, The Fast Bilateral Solver (ECCV 2016), section 2.
    """
    from scipy import sparse

    height, width = image.shape[:2]
    yuv = image.reshape(-1, 3) @ np.array(YUV).T + (0.0, 128.0, 128.0)
    rows, columns = np.divmod(np.arange(height * width), width)
    cells = np.stack([columns / xy, rows / xy, yuv[:, 0] / luma, yuv[:, 1] / chroma, yuv[:, 2] / chroma], axis=1)
    cells = np.floor(cells).astype(np.int64)
    cells -= cells.min(axis=0)
    # One free cell at each end of a dimension: the code of a neighbour is then never the code of a distant cell.
    steps = np.cumprod([1, *(cells.max(axis=0)[:-1] + 2)])
    codes, vertex = np.unique(cells @ steps, return_inverse=True)
    count = len(codes)
    blur = 2.0 * cells.shape[1] * sparse.eye_array(count, format="csr")
    for step in steps.tolist():
        position = np.minimum(np.searchsorted(codes, codes + step), count - 1)
        cell = np.flatnonzero(codes[position] == codes + step)
        next_cell = sparse.csr_array((np.ones(len(cell)), (cell, position[cell])), shape=(count, count))
        blur = blur + next_cell + next_cell.T
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
    """Solve for the soft mask x = S^T y by conjugate gradients: float64 (P,).

    y solves (lambda (Dm - Dn B Dn) + diag(S c)) y = S (c t), with Dm = diag(m) and Dn = diag(n). S sums over the
    pixels of a cell.

    Args:
        target_P: t, floats (P,), the given mask in row-major order.
        space: the bilateral space of the image.
        smoothness: lambda.
        confidence: c, the same for every pixel.
        iterations: largest number of iterations. They end when the residual is 1e-5 of the right-hand side.

    Source: Barron and Poole (ECCV 2016), equations 3 to 6, Jacobi preconditioner.
    """
    from scipy import sparse
    from scipy.sparse.linalg import cg

    weight = space.splat(np.full(len(target_P), confidence))
    right = space.splat(confidence * np.asarray(target_P, np.float64))
    scale = sparse.diags_array(space.scale_V)
    matrix = smoothness * (sparse.diags_array(space.mass_V) - scale @ space.blur @ scale) + sparse.diags_array(weight)
    inverse = sparse.diags_array(1.0 / np.maximum(matrix.diagonal(), 1e-5))
    solution, _ = cg(matrix.tocsr(), right, x0=right / weight, rtol=1e-5, atol=0.0, maxiter=iterations, M=inverse)
    return np.asarray(solution[space.vertex_P])


def object_kept(refined: npt.NDArray[np.integer], given: npt.NDArray[np.integer], *, min_iou: float) -> bool:
    """Whether a refined object has at least the IoU `min_iou` with the given object (FOUND).

    Always true for a given map that is not made of background and exactly one object.
    """
    if given.min() != 0 or len(np.unique(given)) != 2:
        return True
    return bool(((refined > 0) & (given > 0)).sum() >= min_iou * ((refined > 0) | (given > 0)).sum())


def refine(given: LabelMap, options: Options) -> Refined:
    """Give each pixel the label with the largest solved mask. The given labels stay where `object_kept` is false."""
    space = bilateral_space(given.pixels, xy=options.xy, luma=options.luma, chroma=options.chroma)

    def smooth(mask: npt.NDArray[Any]) -> F64:
        flat = mask.reshape(-1).astype(np.float64)
        settings = options.model_dump(include={"smoothness", "confidence", "iterations"})
        return solve(flat, space, **settings).reshape(mask.shape)

    refined, labels = strongest_label(given, smooth), given.upsampled
    if object_kept(refined.labels, labels, min_iou=options.min_iou):
        return refined
    return Refined(labels, of_255(labels > 0), given.masks)


METHOD = RefineMethod(
    summary="The mask of each label is smoothed within regions of similar colour (fast bilateral solver).",
    call=refine,
    options=Options,
    source="Barron and Poole, The Fast Bilateral Solver (ECCV 2016); defaults of TokenCut",
)
