"""The training loop of all trained methods. A method supplies the step.

The loop draws the random order, saves checkpoints, keeps the loss curve, reports progress and checks the loss. Torch is
imported when the loop runs.
"""

import io
import math
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import chain, islice
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from usseg.pipeline.checkpoint import NO_CHECKPOINT, Checkpoint
from usseg.pipeline.errors import ParamsError
from usseg.pipeline.execution import Progress, no_progress
from usseg.pipeline.feed import Feed
from usseg.pipeline.seeding import gpus, random_state, set_random_state, step_seed

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


class Stateful(Protocol):
    """State that a checkpoint saves: a network, an optimiser, a schedule, a teacher, a `Record`."""

    def state_dict(self) -> Any:
        """The state as tensors, numbers and strings, in dicts and lists."""

    def load_state_dict(self, state_dict: Any, /) -> Any:
        """Restore a state that `state_dict` returned."""


class Record:
    """An array that the steps fill, for example one row in each epoch. Checkpoints save it."""

    def __init__(self, values: npt.NDArray[Any]) -> None:
        self.values = values

    def state_dict(self) -> dict[str, Any]:
        """The values as a tensor."""
        import torch

        return {"values": torch.from_numpy(self.values)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Copy the values into the array, in place."""
        self.values[...] = state_dict["values"].numpy()


def no_watch(epochs: npt.NDArray[Any]) -> None:
    """Ignore the losses."""


@dataclass(frozen=True)
class Batch:
    """The items of one step, and the position of the step in the training. All numbers start at 0."""

    items: I64  # (item,), in random order
    epoch: int
    number: int  # of the batch in its epoch
    step: int  # of the batch over all epochs
    parts: Iterator[Any]  # tensors of each part of the batch, from the feed; they can be read once

    @property
    def data(self) -> Any:
        """The tensors of a batch with one part. They can be read once."""
        return next(self.parts)


@dataclass(frozen=True)
class Cut:
    """Division of an epoch into batches."""

    items: int
    size: int  # of a batch
    ragged: bool  # the last batch may be smaller

    @property
    def count(self) -> int:
        """Number of batches of an epoch."""
        return math.ceil(self.items / self.size) if self.ragged else self.items // self.size

    def batches(self, order: I64) -> list[I64]:
        """The batches of an epoch, from the order of its items."""
        return [order[number * self.size : (number + 1) * self.size] for number in range(self.count)]

    def items_before(self, step: int) -> int:
        """Number of items in the batches before a step, over all epochs."""
        epochs, number = divmod(step, self.count)
        return epochs * min(self.items, self.count * self.size) + number * self.size


@dataclass
class Position:
    """Position of the training: the next batch, and the losses so far."""

    epoch: int = 0
    number: int = 0
    curve: list[float] = field(default_factory=list)  # losses of complete epochs
    losses: list[float] = field(default_factory=list)  # losses of the steps of this epoch
    before: list[Any] = field(
        default_factory=list
    )  # states of torch's generators before the order of this epoch is drawn
    now: list[Any] = field(default_factory=list)  # states of torch's generators before the next batch

    def to_bytes(self, state: Mapping[str, Stateful], device: str) -> bytes:
        """The content of a checkpoint, as `torch.save` writes it."""
        import torch

        self.now = random_state(device)
        stream = io.BytesIO()
        states = {name: stateful.state_dict() for name, stateful in state.items()}
        torch.save({"position": asdict(self), "state": states}, stream)
        return stream.getvalue()

    @classmethod
    def restored(cls, content: bytes, state: Mapping[str, Stateful]) -> "Position":
        """The position of a checkpoint. The state is restored in place."""
        import torch

        saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        for name, stateful in state.items():
            stateful.load_state_dict(saved["state"][name])
        return cls(**saved["position"])


def train(
    step: Callable[[Batch], Any],
    feed: Feed,
    *,
    method: str,
    remedy: str,
    seed: int,
    batch: int,
    epochs: int,
    steps: int | None = None,
    ragged: bool = True,
    order: Callable[[], I64] | None = None,
    state: Mapping[str, Stateful],
    checkpoint: Checkpoint = NO_CHECKPOINT,
    progress: Progress = no_progress,
    watch: Callable[[F64], None] = no_watch,
    mean: Callable[[Sequence[float]], Any] = np.mean,
) -> F64:
    """Call `step` for every batch of every epoch.

    Equal arguments give equal bits, even if the run is killed and resumes, and for any speed of the feed. The state of
    the caller's random generators is restored at the end.

    Args:
        step: trains on one batch and returns its loss: a number, or a tensor without axes. It owns the networks, the
            optimisers and their schedules. The batch's `epoch` and `step` tell it about phases and warm-up.
        feed: gives the tensors of the batches.
        method: the name of the method in an error message.
        remedy: what the user can do if the loss is not finite: "lower cluster.options.lr".
        seed: with the epoch, it decides the order of the items; with epoch and batch, the random numbers of a step.
        batch: items of a step; all items if there are fewer.
        epochs: number of passes over the items.
        steps: end after this number of steps, even within an epoch; None: after the last epoch.
        ragged: whether the last batch of an epoch may be smaller. Otherwise the items of a smaller batch are left out
            of this epoch.
        order: None, or a function that draws a permutation of the items, int64 (item,), from torch's generator. With
            `order`, torch is not seeded before each step and `seed` is not used: the generator continues from the
            caller's state.
        state: everything that a step changes, by name.
        checkpoint: saved state from which an interrupted run resumes.
        progress: called at the start and after each step, with the number of finished items over all epochs and the
            total.
        watch: called after each epoch with the losses of all complete epochs, float64 (epoch,).
        mean: maps the losses of the steps of an epoch to the loss of the epoch.

    Returns:
        The loss of each epoch, float64 (epoch,). An unfinished last epoch counts.

    Raises:
        ParamsError: the loss is not finite.
    """
    import torch

    cut, device = Cut(feed.items, min(batch, feed.items), ragged), feed.device
    last = epochs * cut.count if steps is None else min(epochs * cut.count, steps)
    total = cut.items_before(last)
    with torch.random.fork_rng(devices=gpus(device)):
        at = Position(before=random_state(device))
        if (content := checkpoint.load()) is not None:
            at = Position.restored(content, state)
            set_random_state(at.before, device)
        progress(cut.items_before(at.epoch * cut.count + at.number), total)
        for epoch in range(at.epoch, math.ceil(last / cut.count)):
            drawn = np.random.default_rng([seed, epoch]).permutation(feed.items) if order is None else order()
            if at.number:  # resume within the epoch
                set_random_state(at.now, device)
            left = cut.batches(drawn)[at.number : last - epoch * cut.count]
            with closing(fed(feed, left, epoch, at.number, cut.count)) as batches:
                for drawn_batch in batches:
                    if order is None:
                        torch.manual_seed(step_seed(seed, epoch, drawn_batch.number))
                    value = step(drawn_batch)
                    loss = float(value.detach() if isinstance(value, torch.Tensor) else value)
                    if not math.isfinite(loss):
                        raise ParamsError(f"{method}: the loss is {loss} in epoch {epoch + 1} of {epochs}; {remedy}")
                    at.losses.append(loss)
                    at.number += 1
                    if at.number == cut.count:
                        curve = [*at.curve, float(mean(at.losses))]
                        at = Position(epoch + 1, curve=curve, before=random_state(device))
                        watch(np.array(curve))
                    progress(cut.items_before(drawn_batch.step + 1), total)
                    checkpoint.save(partial(at.to_bytes, state, device))
    return np.array([*at.curve, *([float(mean(at.losses))] if at.losses else [])])


def fed(feed: Feed, batches: Sequence[I64], epoch: int, number: int, of_epoch: int) -> Generator[Batch]:
    """Yield batches of an epoch with their tensors.

    Args:
        feed: gives the tensors.
        batches: the items of each batch.
        epoch: the number of the epoch.
        number: the number of the first of these batches in the epoch.
        of_epoch: the number of batches of a whole epoch.
    """
    parts = [feed.split(items) for items in batches]
    with closing(feed.tensors(list(chain.from_iterable(parts)), epoch)) as tensors:
        for items, batch_parts in zip(batches, parts, strict=True):
            batch_tensors = islice(tensors, len(batch_parts))
            yield Batch(items, epoch, number, epoch * of_epoch + number, batch_tensors)
            deque(batch_tensors, maxlen=0)  # skip the tensors that the step has not read
            number += 1


def curve_csv(loss: Sequence[float] | F64, **columns: Sequence[float] | F64) -> str:
    """The loss curve as CSV: the epoch (from 1), the loss, and one column for each further series of numbers."""
    lines = [",".join(["epoch", "loss", *columns])]
    for epoch, (first, *others) in enumerate(zip(loss, *columns.values(), strict=True), start=1):
        lines.append(",".join([str(epoch), f"{first:.6f}", *(f"{value:.4f}" for value in others)]))
    return "\n".join([*lines, ""])
