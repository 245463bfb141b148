"""The affinities by name. `stages/eigen/method.py` says what an affinity gets and returns."""

from usseg.pipeline.methods import Methods
from usseg.stages.eigen.method import AffinityMethod

METHODS = Methods(
    "eigen",
    AffinityMethod,
    __name__,
    (
        "cos_relu",
        "cos_mean_relu",
        "cos_third_relu",
        "binary",
        "simsam",
        "simsam_released",
        "pca",
        "affinity",
        "svd",
    ),
)
