"""The clustering methods: name -> module with `Options`, `fit` and `predict`."""

from usseg.stages.cluster.methods import abc, kmeans, ot

METHODS = {"kmeans": kmeans, "ot": ot, "abc": abc}
