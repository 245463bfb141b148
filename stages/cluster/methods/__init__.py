"""The clustering methods by name. `stages/cluster/method.py` says what a method gets and returns."""

from usseg.pipeline.methods import Methods
from usseg.stages.cluster.method import ClusterMethod

METHODS = Methods(
    "cluster",
    ClusterMethod,
    __name__,
    (
        "kmeans",
        "ot",
        "abc",
        "primaps_em",
    ),
)
