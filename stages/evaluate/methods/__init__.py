"""The scoring methods by name. `stages/evaluate/method.py` says what a method gets and returns."""

from usseg.pipeline.methods import Methods
from usseg.stages.evaluate.method import EvaluateMethod
from usseg.stages.evaluate.methods import classes, objects, partitions

METHODS = Methods(
    "evaluate",
    EvaluateMethod,
    {
        "classes": classes.METHOD,
        "objects": objects.METHOD,
        "partitions": partitions.METHOD,
    },
)
