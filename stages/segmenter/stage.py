"""Train a segmenter on the fit split."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from usseg.stages.segmenter.method import FitImages

log = logging.getLogger("usseg")
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
ONE_CONCEPT = 0.95  # a larger share of images with a single concept counts as collapse
CONSTANT_CUT = 0.98  # a larger normalised cut is that of masks which are nearly constant
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
    pixels = fit_images(inputs, execution) if method.pixels else None
    warned: set[str] = set()

    def read(rows: I64) -> F32:
        count = int(counts[rows[0]])
        values: F32 = patches.oindex[rows, :count].astype(np.float32)
        return values

    def watch(concepts: I64, columns: Mapping[str, F64]) -> None:
        for line in (one_concept_line(concepts), constant_line(columns.get("ncut", np.zeros(0)))):
            if line and line not in warned:
                warned.add(line)
                log.warning("segmenter@%s: epoch %d: %s", inputs.split, len(concepts), line)

    training = method.call(
        FitTokens(counts, patches.shape[2], read, pixels),
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
        "patch": np.array([pixels.patch if pixels else 0], np.int64),
        "files": {CURVE: curve_csv(training.loss, concepts=mean_concepts, **training.columns)},
    }


def fit_images(inputs: Inputs, execution: Execution) -> "FitImages":
    """The pixels under the token grids of the fit split, and the backbone."""
    from usseg.stages.heads.grid_image import grid_image
    from usseg.stages.segmenter.method import FitImages

    features, device = inputs["features"], execution.device
    patch = int(features.call("patch_side", project=inputs.project))
    grids, extents, offsets = (features[name][:].astype(np.int64) for name in ("grid", "extent", "offset"))
    in_step = device != "cpu" and bool(features.call("uses_device"))

    def read(image: int) -> npt.NDArray[np.uint8]:
        rows, columns = grids[image].tolist()
        return grid_image(
            inputs.image(image),
            extent=tuple(extents[image].tolist()),
            offset=tuple(offsets[image].tolist()),
            size=(rows * patch, columns * patch),
        )

    def describe(pixels: Sequence[npt.NDArray[np.uint8]]) -> F32:
        place = device if in_step else "cpu"
        tokens: F32 = features.call("describe", pixels, project=inputs.project, device=place)
        return tokens

    return FitImages(patch, grids, read, describe, in_step)


def one_concept_line(concepts_EK: I64) -> str:
    """The warning about images without a segmentation; empty if there is none."""
    if not collapsed(concepts_EK):
        return ""
    return (
        f"for {PATIENCE} epochs nearly every image has been a single concept, which is no segmentation. "
        "Try another segmenter.seed, a smaller segmenter.options.lr, "
        "or features whose patches differ more (features.options.facet)"
    )


def constant_line(ncut_E: F64) -> str:
    """The warning about masks that cut nothing; empty if there is none. The first epoch does not count."""
    if len(ncut_E) < 2 or ncut_E[-1] <= CONSTANT_CUT:
        return ""
    return (
        f"the normalised cut is above {CONSTANT_CUT}; a constant mask has 1: the masks cut nothing. "
        "Try another segmenter.seed or segmenter.options.lr, or a larger segmenter.options.tau"
    )


def collapsed(concepts_EK: I64) -> bool:
    """Whether nearly every image had a single concept in each of the last epochs.

    Column 0 of `concepts_EK` counts the images with one concept. A method with one concept in all never collapses.
    """
    last = concepts_EK[-PATIENCE:]
    return len(last) == PATIENCE and last.shape[1] > 1 and bool((last[:, 0] >= ONE_CONCEPT * last.sum(axis=1)).all())


@lru_cache(maxsize=2)
def trained(path: Path, content: str, channels: int, device: str, fine: bool) -> Callable[..., Any]:
    """The trained segmenter of an artifact, or its fine branch. It is loaded once for each content digest."""
    artifact = open_artifact(path)
    method = methods()[artifact.params["method"]]
    options = method.options.model_validate(artifact.params["options"])
    load = method.fine if fine else method.load
    assert load is not None, f"segmenter.method: {artifact.params['method']} has no fine branch"
    settings = {"channels": channels, "patch": int(artifact["patch"][0]), "options": options, "device": device}
    return load(artifact["weights"][:], **settings)


def token_labels(artifact: Artifact, tokens_NC: F32, *, device: str = "cpu") -> I64:
    """The label of each token of an image: int64 (token,), from 0. Some labels may not occur."""
    labels: I64 = trained(artifact.path, artifact.attrs["content"], tokens_NC.shape[1], device, False)(tokens_NC)
    return labels


def fine_mask(
    artifact: Artifact,
    image: npt.NDArray[np.uint8],
    tokens_hwC: F32,
    *,
    extent: tuple[int, int],
    offset: tuple[int, int],
    device: str = "cpu",
) -> F32:
    """The foreground probability by the fine branch of the trained segmenter.

    Args:
        artifact: the segmenter artifact.
        image: uint8 RGB (height, width, 3), native size.
        tokens_hwC: its tokens, (row, column, channel).
        extent, offset: what the token grid covers, as in stage features.
        device: a torch device.

    Returns:
        float32 (row, column) on a grid finer than the tokens, which covers the same pixels.
    """
    from usseg.stages.heads.grid_image import grid_image

    rows, columns, channels = tokens_hwC.shape
    patch = int(artifact["patch"][0])
    pixels = grid_image(image, extent=extent, offset=offset, size=(rows * patch, columns * patch))
    mask: F32 = trained(artifact.path, artifact.attrs["content"], channels, device, True)(tokens_hwC, pixels)
    return mask


STAGE = Stage(
    name="segmenter",
    summary="Train a segmenter on the fit split: the adaptive concept generator, or Sempart.",
    version=3,
    params=SegmenterParams,
    inputs=(Input("index"), Input("features", calls=("describe", "patch_side", "uses_device"))),
    arrays={
        "weights": ArraySpec(("weight",), "float32", "parameters of the network, in one vector"),
        "loss": ArraySpec(("epoch",), "float64", "mean loss over images"),
        "concepts": ArraySpec(("epoch", "concept"), "int64", "number of images that use 1, 2, ... all concepts"),
        "patch": ArraySpec(("value",), "int64", "side of a token, pixels; 0 for a network that reads no pixels"),
    },
    run=run,
    methods=methods,
    scope="fit",
    offers={"token_labels": token_labels, "fine_mask": fine_mask},
    formerly="model",
    shares=("heads",),
)
