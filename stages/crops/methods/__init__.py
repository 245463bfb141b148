"""The methods that embed segments, by name. `stages/crops/method.py` says what a method gets and returns."""

from usseg.pipeline.methods import Methods
from usseg.stages.crops.method import CropsMethod

METHODS = Methods(
    "crops",
    CropsMethod,
    __name__,
    (
        "crop",
        "masked_attention",
        "masked_image",
        "mean",
    ),
)
