"""The one training loop: every trained method gives it a step, and the loop does all that is the same for all of them.

That is: the random order, what survives a kill, the loss curve, the progress, the check of the loss. Torch is imported when it runs.
"""

import io
import math
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
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
    """What survives a kill: a network, an optimiser, a schedule, a teacher, a `Record`."""

    def state_dict(self) -> Any:
        """Tensors, numbers and strings, in dicts and lists."""

    def load_state_dict(self, state_dict: Any, /) -> Any:
        """Become what `state_dict` gave."""


class Record:
    """An array that the steps fill, a row an epoch for example; it survives a kill."""

    def __init__(self, values: npt.NDArray[Any]) -> None:
        self.values = values

    def state_dict(self) -> dict[str, Any]:
        """The values as a tensor."""
        import torch

        return {"values": torch.from_numpy(self.values)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the values, in place."""
        self.values[...] = state_dict["values"].numpy()


def no_watch(epochs: npt.NDArray[Any]) -> None:
    """Look at no epoch."""


@dataclass(frozen=True)
class Batch:
    """What one step trains on, and where it stands in the training. All numbers are from 0."""

    items: I64  # in random order
    epoch: int
    number: int  # of the batch in its epoch
    step: int  # of the batch over all epochs
    parts: Iterator[Any]  # what the feed gives for each part of the batch, once

    @property
    def data(self) -> Any:
        """What the feed gives for the whole batch, where its `split` leaves the batch in one part; to be read once."""
        return next(self.parts)


@dataclass(frozen=True)
class Cut:
    """How an epoch falls into batches."""

    items: int
    size: int  # of a batch
    ragged: bool

    @property
    def count(self) -> int:
        """Batches of an epoch."""
        return math.ceil(self.items / self.size) if self.ragged else self.items // self.size

    def batches(self, order: I64) -> list[I64]:
        """The batches of an epoch."""
        return [order[number * self.size : (number + 1) * self.size] for number in range(self.count)]

    def items_before(self, step: int) -> int:
        """Items in the batches before a step, over all epochs."""
        epochs, number = divmod(step, self.count)
        return epochs * min(self.items, self.count * self.size) + number * self.size


@dataclass
class Position:
    """How far the training is: the next batch, and the losses of what lies behind it."""

    epoch: int = 0
    number: int = 0
    curve: list[float] = field(default_factory=list)  # of complete epochs
    losses: list[float] = field(default_factory=list)  # of the steps of this epoch
    before: list[Any] = field(default_factory=list)  # torch's generators before the order of this epoch was drawn
    now: list[Any] = field(default_factory=list)  # and before the next batch

    def to_bytes(self, state: Mapping[str, Stateful], device: str) -> bytes:
        """All that the training goes on from, as torch stores it."""
        import torch

        self.now = random_state(device)
        stream = io.BytesIO()
        torch.save({"position": asdict(self), "state": {name: one.state_dict() for name, one in state.items()}}, stream)
        return stream.getvalue()

    @classmethod
    def restored(cls, content: bytes, state: Mapping[str, Stateful]) -> "Position":
        """Where `to_bytes` was called; the state becomes what it was then."""
        import torch

        saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        for name, one in state.items():
            one.load_state_dict(saved["state"][name])
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
    """Call `step` for every batch of every epoch; returns the loss of each epoch, float64 (epoch,).

    The same arguments give the same bits, whether the run was killed and goes on from its checkpoint or not, and however fast the
    feed is. The generators of the caller stay as they are.

    Args:
        step: trains on one batch and returns its loss, a number or a tensor without axes. It owns the networks, the optimisers and
            their schedules; phases, a warm-up or a teacher's update every few steps follow from the batch's `epoch` and `step`.
        feed: gives the tensors of the batch.
        method: the name that an error tells.
        remedy: what the user can do where the loss is not finite: "lower cluster.options.lr".
        seed: decides the order of each epoch, with the epoch, and what torch draws in a step, with the epoch and the batch.
        batch: items a step; all items where there are fewer.
        epochs: how often each item is used.
        steps: end after so many steps, also in the middle of an epoch; None: after the last epoch.
        ragged: whether the last batch of an epoch may be shorter than the others; otherwise its items wait for another epoch.
        order: None, or a function that draws a permutation of the items, int64 (item,), from torch's generator. Torch is then not
            seeded before a step: its generator, as the caller has seeded it, runs on from draw to draw, and `seed` is not used.
        state: everything that a step changes, by name.
        checkpoint: where a run that was killed goes on from.
        progress: called with the items that are done, over all epochs, and their total: at the start and after each step.
        watch: called after each epoch with the loss of every epoch that is complete.
        mean: makes the losses of the steps of an epoch into the epoch's.

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
            if at.number:  # it goes on within the epoch
                set_random_state(at.now, device)
            left = cut.batches(drawn)[at.number : last - epoch * cut.count]
            with closing(fed(feed, left, epoch, at.number, cut.count)) as batches:
                for one in batches:
                    if order is None:
                        torch.manual_seed(step_seed(seed, epoch, one.number))
                    given = step(one)
                    loss = float(given.detach() if isinstance(given, torch.Tensor) else given)
                    if not math.isfinite(loss):
                        raise ParamsError(f"{method}: the loss is {loss} in epoch {epoch + 1} of {epochs}; {remedy}")
                    at.losses.append(loss)
                    at.number += 1
                    if at.number == cut.count:
                        curve = [*at.curve, float(mean(at.losses))]
                        at = Position(epoch + 1, curve=curve, before=random_state(device))
                        watch(np.array(curve))
                    progress(cut.items_before(one.step + 1), total)
                    checkpoint.save(partial(at.to_bytes, state, device))
    return np.array([*at.curve, *([float(mean(at.losses))] if at.losses else [])])


def fed(feed: Feed, batches: Sequence[I64], epoch: int, number: int, of_epoch: int) -> Generator[Batch]:
    """Batches of an epoch with their tensors, from the batch of this number on; an epoch has `of_epoch` batches."""
    parts = [feed.split(items) for items in batches]
    with closing(feed.tensors([part for some in parts for part in some], epoch)) as tensors:
        for items, some in zip(batches, parts, strict=True):
            given = islice(tensors, len(some))
            yield Batch(items, epoch, number, epoch * of_epoch + number, given)
            deque(given, maxlen=0)  # what the step has not asked for
            number += 1


def curve_csv(loss: Sequence[float] | F64, **columns: Sequence[float] | F64) -> str:
    """The loss curve as CSV: epoch from 1, loss, and further numbers of each epoch under their names."""
    lines = [",".join(["epoch", "loss", *columns])]
    for epoch, (first, *others) in enumerate(zip(loss, *columns.values(), strict=True), 1):
        lines.append(",".join([str(epoch), f"{first:.6f}", *(f"{value:.4f}" for value in others)]))
    return "\n".join([*lines, ""])
