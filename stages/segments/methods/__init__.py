"""The segmentation methods by name. `stages/segments/method.py` says what a method gets and returns."""

from usseg.pipeline.methods import Methods
from usseg.stages.segments.method import SegmentsMethod
from usseg.stages.segments.methods import acg, fiedler, kmeans, maskcut, primaps, spectral, tokencut

METHODS = Methods(
    "segments",
    SegmentsMethod,
    {
        "spectral": spectral.METHOD,
        "kmeans": kmeans.METHOD,
        "fiedler": fiedler.METHOD,
        "tokencut": tokencut.METHOD,
        "maskcut": maskcut.METHOD,
        "primaps": primaps.METHOD,
        "acg": acg.METHOD,
    },
)
