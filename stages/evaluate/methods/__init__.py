"""The scoring methods by name. `stages/evaluate/method.py` says what a method gets and returns."""

from usseg.pipeline.methods import Methods
from usseg.stages.evaluate.method import EvaluateMethod

METHODS = Methods(
    "evaluate",
    EvaluateMethod,
    __name__,
    (
        "classes",
        "objects",
        "partitions",
    ),
)
