"""PriMaPs-EM: prototypes of classes, fitted to tokens by expectation maximisation over mask proposals.

Letters: N tokens of a batch, C channels, K classes.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.checkpoint import NO_CHECKPOINT, Checkpoint
from usseg.pipeline.execution import Progress, no_progress
from usseg.pipeline.feed import Feed
from usseg.pipeline.methods import on_device
from usseg.pipeline.params import Params, refused
from usseg.pipeline.training import Batch, Record, train
from usseg.pipeline.weights import flat_weights
from usseg.stages.cluster.method import F32, F64, Clustering, ClusterMethod
from usseg.stages.cluster.methods import kmeans
from usseg.stages.cluster.proposals import ImageProposals
from usseg.stages.cluster.rows import Rows, in_blocks


class Options(Params):
    """Options of method `primaps_em`. The defaults are those of the original."""

    start: Literal["pca", "random", "kmeans"] = Field(
        "pca",
        description="the first prototypes: principal directions, at most one a channel; random directions; or the "
        "centres of method kmeans by cosine",
    )
    init_epochs: int = Field(2, ge=0, le=100_000, description="epochs of gradient k-means by cosine before EM")
    epochs: int = Field(50, ge=1, le=100_000, description="epochs of EM")
    batch: int = Field(32, ge=1, le=100_000, description="images in each step; their tokens are in memory")
    lr: float = Field(5e-3, gt=0, le=100, description="learning rate of Adam")
    gamma: float = Field(2.0, ge=0, le=100, description="exponent of the weight (1 - share of the class) of a token")
    logit_scale: float = Field(
        1.0, gt=0, le=1e6, description="factor of the logits in the loss of EM; about 0.2 suits standardised rows"
    )
    teacher_steps: int = Field(10, ge=1, le=1_000_000, description="steps between two updates of the teacher")
    teacher_decay: float = Field(0.98, ge=0, lt=1, description="largest decay of the moving average of the teacher")
    result: Literal["teacher", "student"] = Field("teacher", description="the prototypes that are the result")


def principal_directions(rows: Rows, count: int) -> F32:
    """The first principal directions of the rows, float32 (count, C), orthonormal.

    The rows are centred. The largest number of each direction is positive. Directions without variance follow in the
    end.
    """

    def sums(block: F32, part: slice) -> tuple[F64, F64]:
        values = block.astype(np.float64)
        return values.sum(axis=0), values.T @ values

    total, gram = np.zeros(rows.channels), np.zeros((rows.channels, rows.channels))
    for block_total, block_gram in rows.map(sums):
        total += block_total
        gram += block_gram
    mean = total / len(rows)
    vectors = np.linalg.eigh(gram / len(rows) - np.outer(mean, mean))[1]
    directions = vectors[:, ::-1][:, :count].T
    signs = np.sign(directions[np.arange(len(directions)), np.abs(directions).argmax(axis=1)])
    return np.asarray(directions * signs[:, None], np.float32)


def first_prototypes(rows: Rows, *, k: int, seed: int, start: str, device: str) -> F32:
    """The prototypes before the training, float32 (K, C). K is k, or less for `kmeans` with few different rows.

    Raises:
        ParamsError: start is pca, and there are fewer channels than k.
    """
    if start == "pca":
        if k > rows.channels:
            raise refused(
                "cluster.k",
                k,
                f"cluster.options.start: pca takes a direction for each cluster, and there are {rows.channels} "
                "channels; set start: kmeans or random",
            )
        return principal_directions(rows, k)
    if start == "random":
        return np.random.default_rng(seed).normal(size=(k, rows.channels)).astype(np.float32)
    cosine = kmeans.Options.model_validate({"metric": "cosine"})
    return kmeans.fit(rows, np.ones(len(rows)), k=k, seed=seed, options=cosine, device=device).centers


def fit(
    rows: Rows | F32,
    areas_N: F64,
    *,
    images: ImageProposals,
    k: int,
    seed: int,
    options: Options,
    device: str = "cpu",
    checkpoint: Checkpoint = NO_CHECKPOINT,
    progress: Progress = no_progress,
) -> Clustering:
    """Train a student and a teacher, both linear classifiers of tokens, on the images of the fit split.

    First epochs: k-means by cosine, by gradient steps. Then EM. E-step: the teacher gives each token a class, and every
    proposal takes the class of most of its tokens. M-step: a step of the student on the focal loss of these labels. The
    teacher is a moving average of the student. The last state is the result: no label selects it.

    The incomplete last batch of an epoch is left out where there is a complete one. Differences from the original: the
    votes and the losses are of tokens, not of pixels; there is no flip; the student sees the same features as the
    teacher; PCA is exact and of all rows.

    Args:
        rows: float32 (N, C), for the first prototypes.
        areas_N: not used.
        images: tokens and proposals.
        k, seed, options, device, checkpoint, progress: as in `Fit`.

    Raises:
        ParamsError: the loss is not finite, or `start: pca` with fewer channels than k.

    Source: Hahn et al., PriMaPs-EM (TMLR 2024), section 3.3 and its code.
    """
    import torch

    from usseg.stages.cluster.prototypes import Prototypes, focal_loss, kmeans_loss, majority, teacher_decay

    first = first_prototypes(in_blocks(rows), k=k, seed=seed, start=options.start, device=device)
    clusters, em_starts = len(first), options.init_epochs
    heads = [Prototypes(torch.from_numpy(first).to(device)) for _ in range(3)]
    initial, student, teacher = heads
    initial_adam = torch.optim.Adam([initial.directions], lr=options.lr)
    student_adam = torch.optim.Adam(student.parameters(), lr=options.lr)
    votes = Record(np.zeros((em_starts + options.epochs, clusters), np.int64))
    feed = Feed(
        lambda numbers, epoch: images.read(numbers),
        items=len(images.counts),
        device=device,
        split=images.of_equal_count,
        counts=images.counts,
        row_bytes=4 * images.channels + 8,
    )
    of_epoch = max(1, feed.items // options.batch)

    def step(batch: Batch) -> Any:
        tokens, proposals = joined(batch)
        if batch.epoch < em_starts:
            return stepped(initial_adam, kmeans_loss(tokens, initial.directions))
        number = batch.step - em_starts * of_epoch
        if number == 0:
            for head in (student, teacher):
                head.follow(initial, 0.0)
        elif number % options.teacher_steps == 0:
            call = number // options.teacher_steps - 1
            teacher.follow(student, teacher_decay(call, largest=options.teacher_decay))
        with torch.no_grad():
            labels = majority(teacher(tokens).argmax(dim=1), proposals, k=clusters)
        votes.values[batch.epoch] += torch.bincount(labels + 1, minlength=clusters + 1)[1:].cpu().numpy()
        return stepped(student_adam, focal_loss(options.logit_scale * student(tokens), labels, gamma=options.gamma))

    history = train(
        step,
        feed,
        method="primaps_em",
        remedy="lower cluster.options.lr",
        seed=seed,
        batch=options.batch,
        epochs=em_starts + options.epochs,
        ragged=False,
        state={
            **{"initial": initial, "student": student, "teacher": teacher},
            **{"initial_adam": initial_adam, "student_adam": student_adam, "votes": votes},
        },
        checkpoint=checkpoint,
        progress=progress,
    )
    chosen = teacher if options.result == "teacher" else student
    centers = chosen.weights().detach().cpu().numpy().astype(np.float32)
    both = torch.nn.ModuleList([teacher, student])
    return Clustering(centers, history, flat_weights(both), votes.values[em_starts:])


def joined(batch: Batch) -> tuple[Any, Any]:
    """The tokens of a batch, (N, C), and their proposals, int64 (N,): 0 or a number that no other image has."""
    import torch

    tokens, proposals, last = [], [], 0
    for tokens_BNC, proposals_BN in batch.parts:
        images, most = len(proposals_BN), int(proposals_BN.max())
        firsts = last + most * torch.arange(images, device=proposals_BN.device)[:, None]
        tokens.append(tokens_BNC.flatten(0, 1))
        proposals.append(torch.where(proposals_BN > 0, proposals_BN + firsts, 0).flatten())
        last += images * most
    return torch.cat(tokens), torch.cat(proposals)


def stepped(optimizer: Any, loss: Any) -> Any:
    """Make a step on a loss, and return the loss."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


def check(options: Options, sections: Mapping[str, Any]) -> None:
    """Refuse rows that are segments.

    Raises:
        ParamsError: `cluster.rows` is not tokens.
    """
    rows = sections["cluster"].rows
    if rows != "tokens":
        raise refused(
            "cluster.rows", rows, "method: primaps_em clusters tokens, and segments are its proposals; set tokens"
        )


def scores(clustering: Clustering, rows_NC: F32, options: Options) -> F32:
    """The product of each row and each prototype: float32 (N, K)."""
    products: F32 = rows_NC @ clustering.centers.T
    return products


def predict(clustering: Clustering, rows_NC: F32, options: Options) -> npt.NDArray[np.int64]:
    """The prototype with the largest product for each row: int64 (N,)."""
    return scores(clustering, rows_NC, options).argmax(axis=1).astype(np.int64)


def points(clustering: Clustering, rows_NC: F32, options: Options) -> tuple[F32, F32]:
    """Rows and prototypes with one channel more, which gives all prototypes the same length.

    The nearest prototype is then the one with the largest product.
    """
    squares: F32 = (clustering.centers.astype(np.float64) ** 2).sum(axis=1)
    last = np.sqrt(squares.max() - squares)[:, None]
    longer = np.concatenate([rows_NC, np.zeros((len(rows_NC), 1))], axis=1)
    return longer.astype(np.float32), np.concatenate([clustering.centers, last], axis=1).astype(np.float32)


def reads(options: Options) -> tuple[str, ...]:
    """Stage segments, whose segments are the proposals."""
    return ("segments",)


METHOD = ClusterMethod(
    summary="Prototypes fitted to tokens by EM: each mask proposal takes the class of most of its tokens (PriMaPs-EM).",
    call=fit,
    options=Options,
    reads=reads,
    gpu=on_device,
    check=check,
    predict=predict,
    scores=scores,
    points=points,
    source="Hahn et al., PriMaPs-EM (TMLR 2024)",
)
