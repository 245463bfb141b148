"""Two weights: 1 where the cosine of two tokens is above a threshold, nearly 0 elsewhere (TokenCut)."""

from pydantic import Field

from usseg.stages.eigen.graph import binary_affinity, binary_batch, stacked
from usseg.stages.eigen.method import AffinityMethod, TokenBatch, Weights
from usseg.stages.eigen.options import LARGE, LaplacianOptions, Normalize


class Options(LaplacianOptions):
    """Options of affinity `binary`."""

    normalize: Normalize = True
    tau: float = Field(0.2, ge=-LARGE, le=LARGE, description="similarity above which an edge has weight 1")
    eps: float = Field(1e-5, gt=0, le=1, description="weight of the other edges")


def weights(tokens: TokenBatch, options: Options) -> Weights:
    """The weight 1 where G > tau, else eps, with G = F F^T."""
    settings = options.model_dump(include={"normalize", "tau", "eps"})
    if tokens.by_torch:
        return binary_batch(tokens.tensor(), **settings)
    return stacked([binary_affinity(rows, **settings) for rows in tokens.features])


METHOD = AffinityMethod(
    summary="1 where a cosine is above a threshold, else nearly 0 (TokenCut).",
    call=weights,
    options=Options,
    source="Wang et al., TokenCut (CVPR 2022), equation 5",
)
