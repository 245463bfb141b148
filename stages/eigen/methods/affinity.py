"""The eigenvectors of the weight matrix itself, not of a Laplacian (DSM's `affinity`)."""

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
    """The K eigenpairs of W (N, N) whose eigenvalues have the largest magnitude.

    The values are descending, the eigenvectors have unit length.

    DSM's code stores the values in ascending and the vectors in descending order. Here value i belongs to vector i.
    """
    from scipy.linalg import eigh

    values, vectors = eigh(np.asarray(weights_NN, np.float64))
    picked = np.argsort(-np.abs(values), kind="stable")[: min(k, len(values))]
    picked = picked[np.argsort(-values[picked], kind="stable")]
    rows = fix_signs(vectors[:, picked].T, trivial_first=False)
    return Eigenpairs(values[picked], rows, 1, degenerate=one_direction(np.abs(values[picked])))


def eigenpairs(tokens: TokenBatch, options: Options) -> list[Eigenpairs]:
    """The eigenpairs of max(F F^T, 0) divided by its largest entry, plus the colour affinity."""
    graphs = [
        feature_affinity(rows, normalize=options.normalize, threshold=options.threshold) for rows in tokens.features
    ]
    add_colors(graphs, tokens.colors, color=options.color, weight=options.color_weight)
    return [affinity_eigenpairs(weights, k=tokens.k) for weights in graphs]


METHOD = AffinityMethod(
    summary="The largest eigenvectors of the weight matrix of `cos_relu`, without a Laplacian (DSM).",
    call=eigenpairs,
    options=Options,
    gpu=on_cpu,
    laplacian=False,
    source="Melas-Kyriazi et al., Deep Spectral Methods (CVPR 2022), which_matrix = affinity of its code",
)
