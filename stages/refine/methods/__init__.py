"""The filters by name. `stages/refine/method.py` says what a filter gets and returns."""

from usseg.pipeline.methods import Methods
from usseg.stages.refine.method import RefineMethod, sequence

METHODS = Methods(
    "refine",
    RefineMethod,
    __name__,
    (
        "none",
        "guided_filter",
        "bilateral_solver",
        "crf",
        "sempart",
    ),
    sequence=sequence,
)
