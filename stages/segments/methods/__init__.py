"""The segmentation methods: name -> module with `Options` and `segment(tokens, options) -> labels (row, column)`.

`EIGENVECTORS` says whether a method reads the eigen artifact, `MODEL` whether it reads a trained one; `OBJECTS` that its label 0 is the background, and not one label of many;
`PAIR_BYTES` how much memory it takes for every pair of tokens.
"""

from usseg.stages.segments.methods import acg, fiedler, kmeans, maskcut, primaps, spectral, tokencut

METHODS = {
    "spectral": spectral,
    "kmeans": kmeans,
    "fiedler": fiedler,
    "tokencut": tokencut,
    "maskcut": maskcut,
    "primaps": primaps,
    "acg": acg,
}
