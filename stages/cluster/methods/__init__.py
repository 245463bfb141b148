"""The clustering methods by name. `stages/cluster/method.py` says what a method gets and returns."""

from usseg.pipeline.methods import Methods
from usseg.stages.cluster.method import ClusterMethod
from usseg.stages.cluster.methods import abc, kmeans, ot

METHODS = Methods(
    "cluster",
    ClusterMethod,
    {
        "kmeans": kmeans.METHOD,
        "ot": ot.METHOD,
        "abc": abc.METHOD,
    },
)
