"""The training loop, with a toy method that uses all of its features.

The method has two optimisers, a schedule, a teacher, dropout, batch norm and random crops.
"""

import copy
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from usseg.pipeline import training
from usseg.pipeline.checkpoint import Checkpoint
from usseg.pipeline.errors import ParamsError
from usseg.pipeline.feed import Feed
from usseg.pipeline.seeding import seeded
from usseg.pipeline.training import Batch, Record, curve_csv, train
from usseg.pipeline.weights import flat_weights, load_weights

ITEMS, EPOCHS = 10, 3
IMAGES = np.random.default_rng(0).normal(size=(ITEMS, 8, 4)).astype(np.float32)


def toy(*, seed: int = 0, lr: float = 0.1, epochs: int = EPOCHS, batch: int = 4, **run) -> dict[str, np.ndarray]:
    """Run the toy method. It returns everything that a stage would store."""

    def crops(items: np.ndarray, epoch: int) -> np.ndarray:
        starts = [np.random.default_rng([seed, epoch, item]).integers(4) for item in items]
        return np.stack([IMAGES[item, start : start + 4] for item, start in zip(items, starts, strict=True)])

    with seeded(seed, "cpu"):
        student = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(4), nn.Dropout(0.3), nn.Linear(6, 2))
    teacher = copy.deepcopy(student).eval()
    adam, sgd = torch.optim.Adam(student[0].parameters(), lr=lr), torch.optim.SGD(student[3].parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.StepLR(adam, 2, 0.5)
    seen = Record(np.zeros((epochs, ITEMS), np.int64))

    def step(one: Batch) -> torch.Tensor:
        images = one.data
        loss = ((student(images) - teacher(images).detach()) ** 2).mean() + student(images).square().mean()
        student.zero_grad()
        loss.backward()
        for one_of in (adam, sgd, schedule):
            one_of.step()
        if one.step % 2:
            with torch.no_grad():
                for mean, value in zip(teacher.parameters(), student.parameters(), strict=True):
                    mean.lerp_(value, 0.1)
        seen.values[one.epoch, one.items] += 1
        return loss

    networks = {"student": student, "teacher": teacher}
    state = {**networks, "adam": adam, "sgd": sgd, "schedule": schedule, "seen": seen}
    settings = {
        "method": "toy",
        "remedy": "lower toy.lr",
        "seed": seed,
        "batch": batch,
        "epochs": epochs,
        "state": state,
    }
    loss = train(step, Feed(crops, items=ITEMS), **settings, **run)
    return {"student": flat_weights(student), "teacher": flat_weights(teacher), "loss": loss, "seen": seen.values}


def check_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    for name, values in expected.items():
        assert found[name].tobytes() == values.tobytes(), name


def batches_of(*, items: int = ITEMS, draw: int = 0, **run) -> list[Batch]:
    """The arguments of each step; a step draws `draw` numbers from torch."""
    given: list[Batch] = []

    def step(one: Batch) -> float:
        torch.rand(draw)
        given.append(one)
        return 0.0

    settings = {"seed": 0, "batch": 4, "epochs": 2} | run
    train(step, Feed(lambda items, epoch: items, items=items), method="toy", remedy="", state={}, **settings)
    return given


def orders(**run) -> list[list[int]]:
    return [one.items.tolist() for one in batches_of(**run)]


def test_the_order_depends_on_seed_and_epoch_only() -> None:
    first = orders(epochs=2)
    assert first == orders(epochs=3, draw=5)[:6]
    assert first[:3] != first[3:]
    assert first != orders(seed=1)
    assert sorted(chain(*first[:3])) == sorted(chain(*first[3:])) == list(range(ITEMS))
    assert list(chain(*first)) == list(chain(*orders(batch=3))), "the batch only cuts"


def test_a_batch_knows_where_it_stands() -> None:
    found = [(one.epoch, one.number, one.step) for one in batches_of()]
    assert found == [(0, 0, 0), (0, 1, 1), (0, 2, 2), (1, 0, 3), (1, 1, 4), (1, 2, 5)]


@pytest.mark.parametrize(
    ("run", "lengths"),
    [
        ({}, [4, 4, 2] * 2),
        ({"ragged": False}, [4, 4] * 2),
        ({"batch": 5}, [5, 5] * 2),
        ({"batch": 99}, [10] * 2),
        ({"batch": 99, "ragged": False}, [10] * 2),
        ({"steps": 4}, [4, 4, 2, 4]),
        ({"steps": 99}, [4, 4, 2] * 2),
        ({"items": 1}, [1, 1]),
    ],
    ids=str,
)
def test_progress_counts_the_items_of_batches(run: dict[str, int], lengths: list[int]) -> None:
    shown: list[tuple[int, int]] = []
    assert [len(items) for items in orders(**run, progress=lambda done, total: shown.append((done, total)))] == lengths
    assert shown == [(done, sum(lengths)) for done in np.cumsum([0, *lengths]).tolist()]


@pytest.mark.parametrize("killed", [[1], [2], [3], [4], [8], [9], [2, 1, 3], [1] * 9])
def test_a_killed_training_ends_with_the_same_bytes(killed: list[int], checkpoints) -> None:
    """The run is killed after some steps, and killed again after some more."""
    last, shown = None, []
    for limit in killed:
        interrupted = checkpoints(last, limit=limit + (last is not None))
        with pytest.raises(KeyboardInterrupt):
            toy(checkpoint=interrupted)
        last = interrupted.kept[-1]
    found = toy(checkpoint=checkpoints(last), progress=lambda done, total: shown.append(done))
    check_equal(found, toy())
    assert (found["seen"] == 1).all()
    assert shown[0] == [0, 4, 8, 10, 14, 18, 20, 24, 28, 30][sum(killed)]


@pytest.mark.parametrize("kill", range(1, 9))
def test_killed_between_a_step_and_its_checkpoint(kill: int, tmp_path: Path, monkeypatch) -> None:
    """Steps after the last checkpoint are repeated."""
    path, saves = tmp_path / "checkpoint", []
    save = Checkpoint.save

    def rare(self: Checkpoint, state: Callable[[], bytes]) -> None:
        saves.append(0)
        if len(saves) == kill:
            raise KeyboardInterrupt
        if len(saves) % 2:
            self.due = 0.0
            save(self, state)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", rare)
        with pytest.raises(KeyboardInterrupt):
            toy(checkpoint=Checkpoint(path))
    check_equal(toy(checkpoint=Checkpoint(path)), toy())


def drawing(checkpoint: Checkpoint, seed: int = 0) -> tuple[list[list[int]], list[float]]:
    """The order of the items and one random number of each step, from a single generator."""
    items, numbers = Record(np.full((6, 4), -1)), Record(np.zeros(6))

    def step(one: Batch) -> float:
        items.values[one.step, : len(one.items)], numbers.values[one.step] = one.items, torch.rand(()).item()
        return 0.0

    feed = Feed(lambda items, epoch: items, items=ITEMS)
    settings = {"method": "toy", "remedy": "", "seed": 0, "batch": 4, "epochs": 2, "checkpoint": checkpoint}
    with seeded(seed, "cpu"):
        torch.rand(3)  # as for the parameters of a network
        draw = lambda: torch.randperm(ITEMS).numpy()  # noqa: E731
        train(step, feed, order=draw, state={"items": items, "numbers": numbers}, **settings)
    return items.values.tolist(), numbers.values.tolist()


@pytest.mark.parametrize("limit", range(1, 7))
def test_an_order_from_torchs_generator_is_drawn_again(limit: int, checkpoints) -> None:
    with pytest.raises(KeyboardInterrupt):
        drawing(interrupted := checkpoints(limit=limit))
    whole = drawing(Checkpoint())
    assert drawing(checkpoints(interrupted.kept[-1])) == whole
    torch.manual_seed(0)
    torch.rand(3)
    assert torch.randperm(ITEMS).tolist() == list(chain(*whole[0][:3]))[:ITEMS]
    assert [torch.rand(()).item() for _ in range(3)] == whole[1][:3]
    assert drawing(Checkpoint(), seed=1) != whole


def test_the_seed_decides_and_the_generators_of_others_are_left_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = toy()
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(1)
    check_equal(toy(), first)
    assert (toy(seed=1)["student"] != first["student"]).any()


def test_a_loss_that_is_not_finite_is_one_line() -> None:
    with pytest.raises(ParamsError) as error:
        toy(lr=1e30)
    assert str(error.value) in {f"toy: the loss is {x} in epoch 1 of 3; lower toy.lr" for x in ("nan", "inf")}


def test_the_curve_and_who_watches_it() -> None:
    losses = iter([1.0, 2.0, 6.0, 1.0, 1.0, 4.0, 8.0])
    seen: list[list[float]] = []
    feed = Feed(lambda items, epoch: items, items=ITEMS)
    run = {"method": "toy", "remedy": "", "seed": 0, "batch": 4, "epochs": 3, "state": {}}
    curve = train(lambda one: next(losses), feed, **run, steps=7, watch=lambda loss: seen.append(loss.tolist()))
    assert curve.tolist() == [3.0, 2.0, 8.0]
    assert seen == [[3.0], [3.0, 2.0]]
    losses = iter([1.0, 2.0, 6.0])
    assert train(lambda one: next(losses), feed, **{**run, "epochs": 1}, mean=max).tolist() == [6.0]


def test_the_curve_as_csv() -> None:
    assert curve_csv([0.5, 1e-7], concepts=[2, 3.25]) == "epoch,loss,concepts\n1,0.500000,2.0000\n2,0.000000,3.2500\n"
    assert curve_csv([]) == "epoch,loss\n"


def test_weights_go_there_and_back_with_the_statistics() -> None:
    first, second = (nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)) for _ in range(2))
    first(torch.randn(5, 2))
    load_weights(second, flat_weights(first))
    values = torch.randn(4, 2)
    assert torch.equal(first.eval()(values), second.eval()(values))
    assert flat_weights(second).tobytes() == flat_weights(first).tobytes()
    with pytest.raises(ValueError, match=r"found 20 weights for a network that has 21"):
        load_weights(second, flat_weights(first)[1:])


def test_a_method_that_asks_for_no_data_is_given_the_right_data_later() -> None:
    found = []

    def step(one: Batch) -> float:
        if one.step % 2:
            found.append((one.items.tolist(), [part.tolist() for part in one.parts]))
        return 0.0

    feed = Feed(lambda items, epoch: items, items=ITEMS, split=lambda items: [items[:1], items[1:]])
    train(step, feed, method="toy", remedy="", seed=0, batch=4, epochs=2, state={})
    assert len(found) == 3
    for items, parts in found:
        assert parts == [items[:1], items[1:]]


def test_torch_is_seeded_once_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = []
    monkeypatch.setattr(training, "step_seed", lambda *place: seeds.append(place) or 0)
    batches_of(seed=7)
    assert seeds == [(7, epoch, number) for epoch in range(2) for number in range(3)]
