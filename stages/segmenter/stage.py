"""Train a segmenter on the fit split."""

import logging
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.artifact import ArraySpec, Artifact, open_artifact
from usseg.pipeline.execution import Execution
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.methods import Methods
from usseg.pipeline.params import MethodParams, Seed
from usseg.pipeline.stage import Input, Stage
from usseg.pipeline.training import curve_csv

log = logging.getLogger("usseg")
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
ONE_CONCEPT = 0.95  # a larger share of images with a single concept counts as collapse
CURVE = "plots/segmenter/loss.csv"
PATIENCE = 5  # consecutive epochs of collapse before the warning


class SegmenterParams(MethodParams):
    """The segmenter that is trained on `index.fit_split`."""

    method: str = Field("acg", description="a method of stages/segmenter/methods")
    seed: Seed = 0


def methods() -> Methods[Any]:
    """The table of segmenters."""
    from usseg.stages.segmenter.methods import METHODS

    return METHODS


def run(params: SegmenterParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """Train the segmenter on the fit split."""
    from usseg.stages.segmenter.method import FitTokens

    method, options = methods()[params.method], params.options
    patches = inputs["features"]["patches"]
    counts = inputs["features"]["grid"][:].astype(np.int64).prod(axis=1)

    warned = False

    def read(rows: I64) -> F32:
        count = int(counts[rows[0]])
        values: F32 = patches.oindex[rows, :count].astype(np.float32)
        return values

    def watch(concepts: I64) -> None:
        nonlocal warned
        if not warned and collapsed(concepts):
            warned = True
            log.warning(
                "segmenter@%s: epoch %d: for %d epochs nearly every image has been a single concept, "
                "which is no segmentation. Try another segmenter.seed, a smaller segmenter.options.lr, "
                "or features whose patches differ more (features.options.facet)",
                *(inputs.split, len(concepts), PATIENCE),
            )

    training = method.call(
        FitTokens(counts, patches.shape[2], read),
        seed=params.seed,
        options=options,
        device=execution.device,
        checkpoint=execution.checkpoint,
        progress=execution.progress,
        watch=watch,
    )
    mean_concepts = training.concepts @ np.arange(1, training.concepts.shape[1] + 1) / len(images)
    return {
        "weights": training.weights,
        "loss": training.loss,
        "concepts": training.concepts,
        "files": {CURVE: curve_csv(training.loss, concepts=mean_concepts)},
    }


def collapsed(concepts_EK: I64) -> bool:
    """Whether nearly every image had a single concept in each of the last epochs.

    Column 0 of `concepts_EK` counts the images with one concept. A method with one concept in all never collapses.
    """
    last = concepts_EK[-PATIENCE:]
    return len(last) == PATIENCE and last.shape[1] > 1 and bool((last[:, 0] >= ONE_CONCEPT * last.sum(axis=1)).all())


@lru_cache(maxsize=1)
def segmenter(path: Path, content: str, channels: int, device: str) -> Callable[[F32], I64]:
    """The trained segmenter of an artifact. It is loaded once for each content digest."""
    artifact = open_artifact(path)
    method = methods()[artifact.params["method"]]
    options = method.options.model_validate(artifact.params["options"])
    return method.load(artifact["weights"][:], channels=channels, options=options, device=device)


def token_labels(artifact: Artifact, tokens_NC: F32, *, device: str = "cpu") -> I64:
    """The label of each token of an image: int64 (token,), from 0. Some labels may not occur."""
    return segmenter(artifact.path, artifact.attrs["content"], tokens_NC.shape[1], device)(tokens_NC)


STAGE = Stage(
    name="segmenter",
    summary="Train a segmenter on the fit split: the adaptive concept generator.",
    version=2,
    params=SegmenterParams,
    inputs=(Input("index"), Input("features")),
    arrays={
        "weights": ArraySpec(("weight",), "float32", "parameters of the network, in one vector"),
        "loss": ArraySpec(("epoch",), "float64", "mean loss over images"),
        "concepts": ArraySpec(("epoch", "concept"), "int64", "number of images that use 1, 2, ... all concepts"),
    },
    run=run,
    methods=methods,
    scope="fit",
    offers={"token_labels": token_labels},
    formerly="model",
    shares=("heads",),
)
