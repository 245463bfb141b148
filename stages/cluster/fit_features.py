"""The features of the fit split that are clustered: of segments, or of tokens.

Letters: N rows, C channels.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.errors import ParamsError
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.params import refused
from usseg.stages.cluster.scaling import F32, F64
from usseg.stages.cluster.token_sample import shares, token_rows

log = logging.getLogger("usseg")
IMAGES = 256  # images that are read at a time


@dataclass(frozen=True)
class FitFeatures:
    """The features of the fit split that are clustered: N rows of C channels."""

    kind: str  # what a row is, for messages: segment or token
    pieces: Callable[[], Iterator[F32]]  # the rows in order, in pieces (any length, C); each call starts again
    areas: F64  # (N,), as in method.py
    channels: int
    folder: Path  # folder for the temporary scaled copy


def segment_features(inputs: Inputs) -> FitFeatures:
    """The features of the segments of the fit split.

    Raises:
        ParamsError: the split has no foreground segment.
    """
    crops = inputs["crops"]
    counts = crops["num_segments"][:]
    if not counts.any():
        raise ParamsError(f"cluster: split {inputs.split!r} has no foreground segment; set segments.background: none")

    def rows_of(array: str) -> Iterator[npt.NDArray[Any]]:
        values = crops[array]
        for start in range(0, len(counts), IMAGES):
            block = values[start : start + IMAGES]
            yield block[np.arange(block.shape[1]) < counts[start : start + IMAGES, None]]

    areas = np.concatenate(list(rows_of("area"))).astype(np.float64)
    return FitFeatures("segment", lambda: rows_of("features"), areas, crops["features"].shape[2], crops.path.parent)


def token_features(inputs: Inputs, *, k: int, max_rows: int, seed: int) -> FitFeatures:
    """The features of the tokens of the fit split, or of a sample. The log states how many tokens are left out.

    Raises:
        ParamsError: there are fewer tokens than clusters.
    """
    features, ids = inputs["features"], inputs["index"]["id"]
    counts = features["grid"][:].prod(axis=1, dtype=np.int64)
    total, taken = int(counts.sum()), shares(counts, max_rows, seed=seed)
    if total < k:
        raise refused("cluster.k", k, f"split {inputs.split!r} has {total} tokens; at most that is allowed")
    if total > max_rows:
        log.warning(
            "cluster@%s: %d of %d tokens are clustered, a sample; cluster.max_rows leaves out %d",
            *(inputs.split, max_rows, total, total - max_rows),
        )
    patches = features["patches"]
    return FitFeatures(
        "token",
        lambda: token_rows(patches, counts, taken, ids, seed=seed),
        np.ones(int(taken.sum())),
        patches.shape[2],
        features.path.parent,
    )
