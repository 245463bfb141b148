"""The backbones by name. `stages/features/method.py` says what a backbone gets and returns."""

from usseg.pipeline.methods import Methods
from usseg.stages.features.method import BackboneMethod

METHODS = Methods(
    "features",
    BackboneMethod,
    __name__,
    ("lowlevel", "vit", "checkpoint", "cnn"),
    hint="the name of a timm model is the value of features.options.name, with backbone: vit or backbone: cnn",
)
