"""The segmentation methods: name -> module with `Options` and `segment(tokens, options) -> labels (row, column)`."""

from stages.segments.methods import fiedler, kmeans, spectral

METHODS = {"spectral": spectral, "kmeans": kmeans, "fiedler": fiedler}
