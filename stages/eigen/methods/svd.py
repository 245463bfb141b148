"""The singular vectors of the features, without a graph (DSM's `affinity_svd`)."""

import numpy as np
import numpy.typing as npt

from usseg.pipeline.methods import on_cpu
from usseg.pipeline.params import Params
from usseg.stages.eigen.eigenpairs import Eigenpairs, one_direction
from usseg.stages.eigen.graph import unit_rows
from usseg.stages.eigen.method import AffinityMethod, TokenBatch
from usseg.stages.eigen.options import Normalize
from usseg.stages.eigen.signs import fix_signs


class Options(Params):
    """Options of affinity `svd`."""

    normalize: Normalize = True


def svd_eigenpairs(features_NC: npt.NDArray[np.floating], *, k: int) -> Eigenpairs:
    """The K largest singular values, descending, and left singular vectors (K, N) of features (N, C).

    Source: DSM's `affinity_svd`.
    """
    left, singular, _ = np.linalg.svd(np.asarray(features_NC, np.float64), full_matrices=False)
    values = singular[: min(k, len(singular))]
    rows = fix_signs(left[:, : len(values)].T, trivial_first=False)
    return Eigenpairs(values, rows, 1, degenerate=one_direction(values**2))


def eigenpairs(tokens: TokenBatch, options: Options) -> list[Eigenpairs]:
    """The singular values and vectors of every image of the batch, as eigenpairs."""
    rows = [unit_rows(part) if options.normalize else part for part in tokens.features]
    return [svd_eigenpairs(part, k=tokens.k) for part in rows]


METHOD = AffinityMethod(
    summary="The first singular vectors of the features (DSM).",
    call=eigenpairs,
    options=Options,
    gpu=on_cpu,
    laplacian=False,
    source="Melas-Kyriazi et al., Deep Spectral Methods (CVPR 2022), which_matrix = affinity_svd of its code",
)
