"""What a clustering method gets, and what it returns. Read this before you write one.

Letters: N rows, C channels, K clusters.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from usseg.pipeline.checkpoint import NO_CHECKPOINT, Checkpoint
from usseg.pipeline.execution import Progress, no_progress
from usseg.pipeline.methods import Method
from usseg.stages.cluster.proposals import ImageProposals
from usseg.stages.cluster.rows import Rows

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Clustering:
    """A fitted clustering.

    Attributes:
        centers: float32 (K, C), the cluster centres among the scaled rows.
        history: float64 (step,), the objective after each iteration or epoch.
        weights: float32 (weight,), the parameters of a network in one vector; empty for a method without a network.
        votes: int64 (epoch, K), the tokens whose proposal took each cluster, in each epoch of a method that votes.
    """

    centers: F32
    history: F64
    weights: F32 = field(default_factory=lambda: np.zeros(0, np.float32))
    votes: I64 = field(default_factory=lambda: np.zeros((0, 0), np.int64))


class Fit(Protocol):
    """The function that fits a clustering."""

    def __call__(
        self,
        rows: Rows,
        areas_N: F64,
        /,
        *,
        k: int,
        seed: int,
        options: Any,
        device: str = "cpu",
        checkpoint: Checkpoint = NO_CHECKPOINT,
        progress: Progress = no_progress,
    ) -> Clustering:
        """Cluster the rows of the fit split.

        Args:
            rows: float32 (N, C), N at least 1: features of unit length after `cluster.norm_std`, `channel_weights`,
                `pca` and `whiten`. They are read block by block: a method must not hold all of them, there may be
                millions. Rows may repeat, and may be zero.
            areas_N: float64 (N,) in (0, 1]: the tokens of each segment as a share of the tokens of its image; 1 for
                tokens.
            k: number of clusters, at least 1. There may be fewer rows than k, or fewer distinct rows.
            seed: for every random number of the method. The method must not change global random generators.
            options: the options of the method.
            device: a torch device, for a method whose entry has `gpu`.
            checkpoint: for a method with a long training: saves its state, and holds the state of a training that was
                killed.
            progress: for a method with a long training: gets the finished amount and the total.

        Returns:
            1 to k clusters. All numbers are finite. Equal arguments give equal bytes, with any number of threads.
        """


class GuidedFit(Protocol):
    """The function that fits a clustering to tokens and proposals, for a method whose `reads` names stage segments."""

    def __call__(
        self,
        rows: Rows,
        areas_N: F64,
        /,
        *,
        images: ImageProposals,
        k: int,
        seed: int,
        options: Any,
        device: str = "cpu",
        checkpoint: Checkpoint = NO_CHECKPOINT,
        progress: Progress = no_progress,
    ) -> Clustering:
        """Cluster as `Fit`, with the tokens and the proposals of every image besides the rows."""


@dataclass(frozen=True)
class ClusterMethod(Method):
    """The entry of a clustering method. `call` fits it.

    Attributes:
        predict: (clustering, rows, options) -> the cluster of each row, int64 (N,) in [0, K). `rows` are float32 (N,
            C), scaled as those of the fit, N may be 0. The label of a row does not depend on the others.
        scores: (clustering, rows, options) -> how well each cluster fits each row, float32 (N, K), any range. The
            cluster of `predict` has the largest score, up to rounding. Stage refine interpolates scores between
            tokens: they should be linear in the row, where that is possible.
        points: (clustering, rows, options) -> the rows float32 (N, D) and the centres float32 (K, D) as points of one
            space, in which the cluster of `predict` is the nearest centre, up to rounding. For cosines these are
            vectors of unit length. Stage assign computes the margin of each row from the Euclidean distances.
    """

    call: Fit | GuidedFit
    predict: Callable[[Clustering, F32, Any], I64] = field(kw_only=True)
    scores: Callable[[Clustering, F32, Any], F32] = field(kw_only=True)
    points: Callable[[Clustering, F32, Any], tuple[F32, F32]] = field(kw_only=True)
