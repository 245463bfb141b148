"""The eigenvectors of the graph's weights themselves, not of a Laplacian (DSM's `affinity`)."""

import numpy as np
import numpy.typing as npt

from usseg.pipeline.methods import on_cpu
from usseg.stages.eigen.color import add_colors
from usseg.stages.eigen.eigenpairs import Eigenpairs, one_direction
from usseg.stages.eigen.graph import feature_affinity
from usseg.stages.eigen.method import AffinityMethod, TokenBatch
from usseg.stages.eigen.options import ColorOptions, Normalize, Threshold
from usseg.stages.eigen.signs import fix_signs


class Options(ColorOptions):
    """Options of affinity `affinity`."""

    threshold: Threshold = True
    normalize: Normalize = True


def affinity_eigenpairs(weights_NN: npt.NDArray[np.floating], *, k: int) -> Eigenpairs:
    """The K eigenpairs of W that are largest by magnitude, values descending, unit vectors (DSM's `affinity`).

    (The original stores ascending values beside descending vectors; here they belong together.)
    """
    from scipy.linalg import eigh

    values, vectors = eigh(np.asarray(weights_NN, np.float64))
    picked = np.argsort(-np.abs(values), kind="stable")[: min(k, len(values))]
    picked = picked[np.argsort(-values[picked], kind="stable")]
    rows = fix_signs(vectors[:, picked].T, trivial_first=False)
    return Eigenpairs(values[picked], rows, 1, degenerate=one_direction(np.abs(values[picked])))


def eigenpairs(tokens: TokenBatch, options: Options) -> list[Eigenpairs]:
    """Those of max(F F^T, 0) over its largest entry, with colours."""
    graphs = [
        feature_affinity(rows, normalize=options.normalize, threshold=options.threshold) for rows in tokens.features
    ]
    add_colors(graphs, tokens.colors, color=options.color, weight=options.color_weight)
    return [affinity_eigenpairs(weights, k=tokens.k) for weights in graphs]


METHOD = AffinityMethod(
    summary="The largest eigenvectors of the weights of `cos_relu` themselves (DSM).",
    call=eigenpairs,
    options=Options,
    gpu=on_cpu,
    laplacian=False,
    source="Melas-Kyriazi et al., Deep Spectral Methods (CVPR 2022), which_matrix = affinity of its code",
)
