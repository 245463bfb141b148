"""Attention-based clustering (ABC): a small transformer, trained with lower and upper bounds on the cluster sizes.

Letters: N rows, C channels, k clusters.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.checkpoint import NO_CHECKPOINT, Checkpoint
from usseg.pipeline.execution import Progress, no_progress
from usseg.pipeline.feed import Feed
from usseg.pipeline.methods import on_device
from usseg.pipeline.params import Params
from usseg.pipeline.seeding import seeded
from usseg.pipeline.training import Batch, train
from usseg.pipeline.weights import flat_weights, load_weights
from usseg.stages.cluster.method import F32, F64, Clustering, ClusterMethod
from usseg.stages.cluster.rows import Rows, in_blocks
from usseg.stages.cluster.scaling import unit_rows

PREDICT_CHUNK = 8192  # rows that the network labels at a time


class Options(Params):
    """Options of method `abc`."""

    architecture: Literal["attn_mlp", "attn_mlp_x2", "mlp", "identical"] = Field(
        "attn_mlp", description="the network, as in table 2 of the semester report"
    )
    mlp_residual: bool = Field(
        True, description="residual and layer norm around the MLP; the released checkpoint has neither"
    )
    floor_thresholds: bool = Field(False, description="compute the bounds by floor division, as the original code")
    lower_exponent: float = Field(2.0, ge=0, le=100, description="e of the lower bound N / k^e on a cluster's mass")
    upper_exponent: float | None = Field(
        0.5, ge=0, le=100, description="e of the upper bound N / k^e on a cluster's mass; null: no bound"
    )
    hidden: int = Field(512, ge=1, le=16384, description="width of the MLPs")
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout rate inside the MLPs")
    lr: float = Field(3e-5, gt=0, le=100, description="learning rate")
    batch: int = Field(4096, ge=1, le=1_000_000, description="rows in each step")
    epochs: int = Field(500, ge=1, le=100_000, description="epochs over the rows")


def size_bounds(
    rows: int, k: int, *, lower_exponent: float = 2.0, upper_exponent: float | None = 0.5, floor: bool = False
) -> tuple[float, float]:
    """The bounds of the mass of a cluster in a batch of N rows: by default N / k^2 and N / sqrt(k)."""
    lower = rows / k**lower_exponent
    upper = float("inf") if upper_exponent is None else rows / k**upper_exponent
    if floor:
        lower = rows // k**lower_exponent
        upper = upper if upper_exponent is None else rows // k**upper_exponent
    return float(lower), float(upper)


def scores_loss(
    scores: Any,
    *,
    floor_thresholds: bool = False,
    lower_exponent: float = 2.0,
    upper_exponent: float | None = 0.5,
) -> Any:
    """The loss of soft assignments: coverage of rows, bounds on cluster sizes, and disjoint clusters.

    L = mean_m relu(1 - r_m) + mean_j relu(N/k^2 - c_j) + mean_j relu(c_j - N/sqrt k) + sum_{i != j} (O^T O)_ij,
    with the row sums r_m and the column sums c_j. The last term equals sum_m (r_m^2 - sum_j O_mj^2).

    Args:
        scores: the matrix O, tensor (row, cluster), not negative.
        floor_thresholds, lower_exponent, upper_exponent: as in `Options`.

    Source: semester report, section 3.2, where N is the number of rows in the batch.
    """
    import torch

    rows, k = scores.shape
    lower, upper = size_bounds(
        rows, k, lower_exponent=lower_exponent, upper_exponent=upper_exponent, floor=floor_thresholds
    )
    row_sums, column_sums = scores.sum(dim=1), scores.sum(dim=0)
    loss = torch.relu(1 - row_sums).mean() + torch.relu(lower - column_sums).mean()
    if upper_exponent is not None:
        loss = loss + torch.relu(column_sums - upper).mean()
    return loss + (row_sums**2 - (scores**2).sum(dim=1)).sum()


def cosine_scores(outputs: Any, centers: Any) -> Any:
    """The cosines (row, cluster) of network outputs and centres."""
    return unit_tensor(outputs) @ unit_tensor(centers).T


def unit_tensor(vectors: Any) -> Any:
    """Vectors, tensor (vector, channel), scaled to unit length. A norm below 1e-8 counts as 1e-8."""
    from torch.nn import functional

    return functional.normalize(vectors, dim=1, eps=1e-8)


def build_network(channels: int, k: int, options: Options) -> Any:
    """The network: centres M (k, C), and blocks of cross-attention from the rows to M, layer norm and an MLP."""
    import torch
    from torch import nn

    class Mlp(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(channels, options.hidden),
                nn.ReLU(),
                nn.Dropout(options.dropout),
                nn.Linear(options.hidden, channels),
            )

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.layers(rows)
            return out

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key = nn.Linear(channels, channels), nn.Linear(channels, channels)
            self.value, self.out = nn.Linear(channels, channels), nn.Linear(channels, channels)
            self.norm_attention = nn.LayerNorm(channels)
            self.mlp = Mlp()
            self.norm_mlp = nn.LayerNorm(channels) if options.mlp_residual else None

        def forward(self, rows: torch.Tensor, centers: torch.Tensor) -> torch.Tensor:
            logits = self.query(rows) @ self.key(centers).T / channels**0.5
            mixed = self.out(torch.softmax(logits, dim=1) @ self.value(centers))
            hidden = self.norm_attention(rows + mixed)
            out: torch.Tensor = self.mlp(hidden)
            if self.norm_mlp is None:
                return out
            normed: torch.Tensor = self.norm_mlp(hidden + out)
            return normed

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.centers = nn.Parameter(torch.randn(k, channels) / (channels / 2) ** 0.5)
            count = {"attn_mlp": 1, "attn_mlp_x2": 2}.get(options.architecture, 0)
            self.blocks = nn.ModuleList(Block() for _ in range(count))
            self.mlp = Mlp() if options.architecture == "mlp" else None

        def outputs(self, rows: torch.Tensor) -> torch.Tensor:
            for block in self.blocks:
                rows = block(rows, self.centers)
            return self.mlp(rows) if self.mlp else rows

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = cosine_scores(self.outputs(rows), self.centers)
            return scores

    return Network()


def fit(
    rows: Rows | F32,
    areas_N: F64,
    *,
    k: int,
    seed: int,
    options: Options,
    device: str = "cpu",
    checkpoint: Checkpoint = NO_CHECKPOINT,
    progress: Progress = no_progress,
) -> Clustering:
    """Train the network on rows, float32 (N, C). The areas are not used.

    Every epoch is a random permutation of all rows. The incomplete last batch is left out where there is a complete
    one. A training that was killed resumes from its last checkpoint and ends with the same bytes.

    Source: semester report, section 3.2 (ABC): AdamW, weight decay 0.01, shuffled every epoch.
    """
    import torch

    stored = in_blocks(rows)
    feed = Feed(
        lambda indices, epoch: stored.take(indices)[:, None],
        items=len(stored),
        device=device,
        counts=np.ones(len(stored), np.int64),
        row_bytes=4 * stored.channels,
    )
    with seeded(seed, device):
        network = build_network(stored.channels, k, options).to(device)
        optimizer = torch.optim.AdamW(network.parameters(), lr=options.lr, eps=1e-8, weight_decay=0.01)

        def step(batch: Batch) -> Any:
            loss = scores_loss(
                torch.relu(network(batch.data[:, 0])),
                floor_thresholds=options.floor_thresholds,
                lower_exponent=options.lower_exponent,
                upper_exponent=options.upper_exponent,
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        history = train(
            step,
            feed,
            method="abc",
            remedy="lower cluster.options.lr",
            seed=seed,
            batch=options.batch,
            epochs=options.epochs,
            ragged=False,
            order=lambda: torch.randperm(len(stored)).numpy(),
            state={"network": network, "optimizer": optimizer},
            checkpoint=checkpoint,
            progress=progress,
        )
    return Clustering(network.centers.detach().cpu().numpy().astype(np.float32), history, flat_weights(network))


def applied(
    clustering: Clustering, rows_NC: F32, options: Options, function: Callable[[Any, Any], Any], columns: int
) -> F32:
    """A function of the network and of a chunk of rows, for all rows: float32 (N, column)."""
    import torch

    k, channels = clustering.centers.shape
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        network = build_network(channels, k, options).eval()
        load_weights(network, clustering.weights)
        parts = [
            function(network, torch.tensor(rows_NC[start : start + PREDICT_CHUNK])).numpy()
            for start in range(0, len(rows_NC), PREDICT_CHUNK)
        ]
    return np.concatenate(parts) if parts else np.zeros((0, columns), np.float32)


def scores(clustering: Clustering, rows_NC: F32, options: Options) -> F32:
    """The cosine of the network output of each row and each centre: float32 (N, k) in [-1, 1]."""
    return applied(clustering, rows_NC, options, lambda network, rows: network(rows), len(clustering.centers))


def points(clustering: Clustering, rows_NC: F32, options: Options) -> tuple[F32, F32]:
    """The network outputs of the rows and the centres, scaled to unit length."""
    return (
        applied(
            *(clustering, rows_NC, options),
            lambda network, rows: unit_tensor(network.outputs(rows)),
            clustering.centers.shape[1],
        ),
        unit_rows(clustering.centers),
    )


def predict(clustering: Clustering, rows_NC: F32, options: Options) -> npt.NDArray[np.int64]:
    """The cluster with the largest score for each row: int64 (N,)."""
    return scores(clustering, rows_NC, options).argmax(axis=1).astype(np.int64)


METHOD = ClusterMethod(
    summary="A small transformer, trained with lower and upper bounds on the cluster sizes (ABC).",
    call=fit,
    options=Options,
    gpu=on_device,
    predict=predict,
    scores=scores,
    points=points,
    source="semester report on DSM, section 3.2 (attention-based clustering)",
)
