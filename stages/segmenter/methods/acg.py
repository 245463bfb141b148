"""Adaptive concept generator (ACSeg): a network that finds the concepts of an image, trained by the modularity of its segments."""

import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from usseg.pipeline.checkpoint import Checkpoint
from usseg.pipeline.errors import ParamsError
from usseg.pipeline.methods import on_device
from usseg.pipeline.params import Params
from usseg.stages.segmenter.method import F32, F64, I64, FitTokens, SegmenterMethod, Training


class Options(Params):
    """Options of method `acg`. Defaults: the semester report, section 4.1, and its code."""

    prototypes: int = Field(6, ge=1, le=1024, description="most concepts of an image; ACSeg: 5")
    updates: int = Field(6, ge=1, le=64, description="rounds of attention, with weights of their own")
    heads: int = Field(6, ge=1, le=256, description="of every attention")
    hidden: int = Field(256, ge=1, le=16384, description="width of the MLPs")
    dropout: float = Field(0.1, ge=0, lt=1, description="after every attention, and inside the MLPs")
    lr: float = Field(3e-4, gt=0, le=100, description="of AdamW")
    weight_decay: float = Field(0.01, ge=0, le=100, description="of AdamW")
    batch: int = Field(1024, ge=1, le=1_000_000, description="images a step; memory does not depend on it")
    epochs: int = Field(
        400, ge=1, le=100_000, description="rounds over the images; on VOC 6,800 steps, ACSeg: about 2,500"
    )
    zero_diag: bool = Field(True, description="a token is no neighbour of itself in the graph, as in the report's code")


@dataclass
class Progress:
    """Everything that training goes on from."""

    network: Any
    optimizer: Any
    loss: F64  # (epoch,), sums over images
    concepts: I64  # (epoch, K)
    step: int = 0  # the next batch, counted over all epochs

    def to_bytes(self) -> bytes:
        """All of it, as torch stores it."""
        import torch

        stream = io.BytesIO()
        history = {"loss": torch.from_numpy(self.loss), "concepts": torch.from_numpy(self.concepts), "step": self.step}
        torch.save({"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict(), **history}, stream)
        return stream.getvalue()

    def restore(self, content: bytes, device: str) -> None:
        """Become what was stored."""
        import torch

        state = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.loss, self.concepts = state["loss"].cpu().numpy(), state["concepts"].cpu().numpy()
        self.step = state["step"]


def generator(channels: int, options: Options) -> Any:
    """The network, its parameters drawn from torch's generator."""
    from usseg.stages.segmenter.concepts import ConceptGenerator

    return ConceptGenerator(
        channels,
        prototypes=options.prototypes,
        updates=options.updates,
        heads=options.heads,
        hidden=options.hidden,
        dropout=options.dropout,
    )


def room_for(tokens: FitTokens, device: str) -> bool:
    """Whether half of a GPU's free memory holds all tokens."""
    import torch

    if torch.device(device).type != "cuda":
        return False
    return bool(8 * tokens.counts.sum() * tokens.channels < torch.cuda.mem_get_info(device)[0])


def part_reader(tokens: FitTokens, device: str) -> Callable[[Sequence[list[int]]], Iterator[Any]]:
    """How to get the tokens of parts of a batch, images of equal count, as tensors (B, N, C) on the device, one after the other.

    Where there is room on a GPU, they stay there once read.
    """
    import torch

    held: dict[int, Any] = {}
    keep = room_for(tokens, device)

    def read(parts: Sequence[list[int]]) -> Iterator[Any]:
        yield from (torch.from_numpy(values).to(device) for values in tokens.read_ahead(parts))

    def read_once(parts: Sequence[list[int]]) -> Iterator[Any]:
        unread = [[image for image in part if image not in held] for part in parts]
        unread = [part for part in unread if part]
        for part, values in zip(unread, read(unread), strict=True):
            held.update(zip(part, values, strict=True))
        yield from (torch.stack([held[image] for image in part]) for part in parts)

    return read_once if keep else read


def fit(
    tokens: FitTokens,
    *,
    seed: int,
    options: Options,
    device: str,
    checkpoint: Checkpoint,
    watch: Callable[[int, F64, I64], None],
) -> Training:
    """Train on the tokens of all images by AdamW, shuffled every epoch, without augmentation; the ragged last batch counts too.

    Images of a batch that have the same number of tokens run together, as many as memory bounds; gradients add up to the batch's.
    On a CPU, and on a GPU that has no room for all tokens, every epoch reads them once, while it computes.

    Args:
        tokens: of the fit split.
        seed: of everything that is drawn: of the parameters, of an epoch's order, of a batch's dropout.
        options: see `Options`.
        device: where to run.
        checkpoint: where a run that was killed goes on from.
        watch: called after every batch with the number of images seen, and loss and concepts of the epochs that are complete.

    Raises:
        ParamsError: the loss is not finite.

    Source: semester report, sections 3.1.1 and 4.1.
    """
    import torch

    from usseg.stages.segmenter.modularity import PAIRS

    images = len(tokens.counts)
    starts = range(0, images, options.batch)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = generator(tokens.channels, options).to(device)
        optimizer = torch.optim.AdamW(network.parameters(), lr=options.lr, weight_decay=options.weight_decay)
        shape = (options.epochs, options.prototypes)
        progress = Progress(network, optimizer, np.zeros(options.epochs), np.zeros(shape, np.int64))
        read = part_reader(tokens, device)
        if (saved := checkpoint.load()) is not None:
            progress.restore(saved, device)
        for step in range(progress.step, options.epochs * len(starts)):
            epoch, number = divmod(step, len(starts))
            order = np.random.default_rng([seed, epoch]).permutation(images)
            batch = np.sort(order[starts[number] : starts[number] + options.batch])
            torch.manual_seed(int(np.random.SeedSequence([seed, epoch, number]).generate_state(1)[0]))
            parts = list(tokens.of_equal_count(batch.tolist(), pairs=PAIRS[torch.device(device).type]))
            loss, concepts = train_step(progress, read(parts), len(batch), options=options, device=device)
            if not math.isfinite(loss):
                raise ParamsError(f"model: the loss is {loss} in epoch {epoch + 1}; lower model.options.lr (acg)")
            progress.loss[epoch] += loss
            progress.concepts[epoch] += concepts
            progress.step = step + 1
            complete = progress.step // len(starts)
            watch(
                epoch * images + starts[number] + len(batch),
                progress.loss[:complete] / images,
                progress.concepts[:complete],
            )
            checkpoint.save(progress.to_bytes)
        weights = torch.nn.utils.parameters_to_vector(network.parameters()).detach().cpu().numpy()
    return Training(weights.astype(np.float32), progress.loss / images, progress.concepts)


def train_step(
    progress: Progress, parts: Iterator[Any], images: int, *, options: Options, device: str
) -> tuple[float, I64]:
    """One step of AdamW on the mean loss of a batch of so many images, which come in parts, tensors (B, N, C).

    Returns the sum of the losses, and how many images use 1, 2, ... K concepts.
    """
    import torch

    from usseg.stages.segmenter.concepts import concept_scores, concepts_used
    from usseg.stages.segmenter.modularity import modularity_loss

    network, optimizer = progress.network.train(), progress.optimizer
    optimizer.zero_grad()
    total = torch.zeros((), dtype=torch.float64, device=device)
    used = torch.zeros(options.prototypes + 1, dtype=torch.int64, device=device)
    for tokens_BNC in parts:
        scores = concept_scores(tokens_BNC, network(tokens_BNC))
        loss = modularity_loss(tokens_BNC, scores, zero_diag=options.zero_diag)
        (loss.sum() / images).backward()
        total += loss.detach().sum(dtype=torch.float64)
        used += torch.bincount(concepts_used(scores.detach()), minlength=len(used))
    optimizer.step()
    return float(total), used[1:].cpu().numpy()


def segmenter(weights: F32, *, channels: int, options: Options, device: str) -> Callable[[F32], I64]:
    """The trained network: tokens of an image, float32 (token, channel) -> the concept nearest by cosine, int64 (token,).

    Not every concept has tokens: what an image does not use drops out.
    """
    import torch

    from usseg.stages.segmenter.concepts import concept_scores, nearest_concept

    with torch.random.fork_rng(devices=[]):
        network = generator(channels, options)
    torch.nn.utils.vector_to_parameters(torch.from_numpy(np.array(weights, np.float32)), network.parameters())
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
