"""Adaptive concept generator (ACSeg): a network that finds the concepts of an image, trained to maximise modularity."""

from collections.abc import Callable
from typing import Any

import numpy as np
from pydantic import Field

from usseg.pipeline.checkpoint import NO_CHECKPOINT, Checkpoint
from usseg.pipeline.execution import Progress, no_progress
from usseg.pipeline.feed import Feed
from usseg.pipeline.methods import on_device
from usseg.pipeline.params import Params
from usseg.pipeline.seeding import seeded
from usseg.pipeline.training import Batch, Record, train
from usseg.pipeline.weights import flat_weights, load_weights
from usseg.stages.segmenter.method import F32, I64, FitTokens, SegmenterMethod, Training, Watch, no_watch


class Options(Params):
    """Options of method `acg`. The defaults are those of the semester report, section 4.1, and of its code."""

    prototypes: int = Field(6, ge=1, le=1024, description="largest number of concepts of an image; ACSeg: 5")
    updates: int = Field(6, ge=1, le=64, description="updates of the concepts, each with its own weights")
    heads: int = Field(6, ge=1, le=256, description="heads of every attention")
    hidden: int = Field(256, ge=1, le=16384, description="width of the MLPs")
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout rate after every attention and inside the MLPs")
    lr: float = Field(3e-4, gt=0, le=100, description="learning rate of AdamW")
    weight_decay: float = Field(0.01, ge=0, le=100, description="weight decay of AdamW")
    batch: int = Field(1024, ge=1, le=1_000_000, description="images in each step; memory does not depend on it")
    epochs: int = Field(
        400, ge=1, le=100_000, description="epochs over the images; on VOC 6,800 steps, ACSeg: about 2,500"
    )
    zero_diag: bool = Field(True, description="the graph has no edge from a token to itself, as in the report's code")


def generator(channels: int, options: Options) -> Any:
    """The network with random parameters, drawn from torch's global generator."""
    from usseg.stages.segmenter.concepts import ConceptGenerator

    return ConceptGenerator(
        channels,
        prototypes=options.prototypes,
        updates=options.updates,
        heads=options.heads,
        hidden=options.hidden,
        dropout=options.dropout,
    )


def fit(
    tokens: FitTokens,
    *,
    seed: int,
    options: Options,
    device: str,
    checkpoint: Checkpoint = NO_CHECKPOINT,
    progress: Progress = no_progress,
    watch: Watch = no_watch,
) -> Training:
    """Train the network on the tokens of all images by AdamW, without augmentation.

    The images are shuffled in every epoch. The incomplete last batch is used too. Images of a batch with the same
    number of tokens are computed together, as many as fit into memory; their gradients add up to the gradient of the
    batch. On a CPU, and on a GPU without enough memory for all tokens, the tokens are read from disk once in each
    epoch, while the network computes.

    Args:
        tokens: the tokens of the fit split.
        seed: for the initial parameters, the order of every epoch and the dropout of every batch.
        options: see `Options`.
        device: a torch device.
        checkpoint: holds the state from which a killed training resumes.
        progress: called with the number of finished images over all epochs, and their total.
        watch: called after every epoch with the concepts of all finished epochs, as in `Training`.

    Raises:
        ParamsError: the loss is not finite.

    Source: semester report, sections 3.1.1 and 4.1.
    """
    import torch

    from usseg.stages.segmenter.concepts import concept_scores, concepts_used
    from usseg.stages.segmenter.modularity import PAIRS, modularity_loss

    pairs = PAIRS[torch.device(device).type]
    feed = Feed(
        lambda images, epoch: tokens.read(images),
        items=len(tokens.counts),
        device=device,
        split=lambda images: tokens.of_equal_count(np.sort(images), pairs=pairs),
        counts=tokens.counts,
        row_bytes=4 * tokens.channels,
    )
    with seeded(seed, device):
        network = generator(tokens.channels, options).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.lr, weight_decay=options.weight_decay)
    concepts = Record(np.zeros((options.epochs, options.prototypes), np.int64))

    def step(batch: Batch) -> float:
        """One step of AdamW on the mean loss of the images. Returns the sum of their losses."""
        optimizer.zero_grad()
        total = torch.zeros((), dtype=torch.float64, device=device)
        used = torch.zeros(options.prototypes + 1, dtype=torch.int64, device=device)
        for tokens_BNC in batch.parts:
            scores = concept_scores(tokens_BNC, network(tokens_BNC))
            loss = modularity_loss(tokens_BNC, scores, zero_diag=options.zero_diag)
            (loss.sum() / len(batch.items)).backward()
            total += loss.detach().sum(dtype=torch.float64)
            used += torch.bincount(concepts_used(scores.detach()), minlength=len(used))
        optimizer.step()
        concepts.values[batch.epoch] += used[1:].cpu().numpy()
        return float(total)

    loss = train(
        step,
        feed,
        method="acg",
        remedy="lower segmenter.options.lr",
        seed=seed,
        batch=options.batch,
        epochs=options.epochs,
        state={"network": network, "optimizer": optimizer, "concepts": concepts},
        checkpoint=checkpoint,
        progress=progress,
        watch=lambda curve: watch(concepts.values[: len(curve)], {}),
        mean=lambda sums: np.cumsum(sums)[-1] / feed.items,
    )
    return Training(flat_weights(network), loss, concepts.values)


def segmenter(weights: F32, *, channels: int, patch: int = 0, options: Options, device: str) -> Callable[[F32], I64]:
    """The trained network as a function from the tokens of an image to their concepts.

    The function maps float32 (token, channel) to the nearest concept by cosine, int64 (token,). Some concepts may have
    no tokens.
    """
    import torch

    from usseg.stages.segmenter.concepts import concept_scores, nearest_concept

    with torch.random.fork_rng(devices=[]):
        network = generator(channels, options)
    load_weights(network, weights)
    network = network.to(device).eval()

    def labels(tokens_NC: F32) -> I64:
        with torch.inference_mode():
            values = torch.from_numpy(np.ascontiguousarray(tokens_NC, np.float32))[None].to(device)
            nearest: I64 = nearest_concept(concept_scores(values, network(values)))[0].cpu().numpy()
        return nearest

    return labels


METHOD = SegmenterMethod(
    summary="Adaptive concept generator: a network that finds the concepts of an image, trained by modularity (ACSeg).",
    call=fit,
    load=segmenter,
    options=Options,
    gpu=on_device,
    source="Li et al., ACSeg (CVPR 2023); defaults of the semester report, section 4.1",
)
