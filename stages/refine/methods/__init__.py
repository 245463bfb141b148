"""The refinement methods by name. `stages/refine/method.py` says what a method gets and returns."""

from usseg.pipeline.methods import Methods
from usseg.stages.refine.method import RefineMethod
from usseg.stages.refine.methods import bilateral_solver, crf, guided_filter, none

METHODS = Methods(
    "refine",
    RefineMethod,
    {
        "none": none.METHOD,
        "guided_filter": guided_filter.METHOD,
        "bilateral_solver": bilateral_solver.METHOD,
        "crf": crf.METHOD,
    },
)
