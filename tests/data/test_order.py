"""One order for any number of ranks; a run may go on with another number in the middle of an epoch."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from i2i.data import Batches, Data
from i2i.data.order import Order
from i2i.data.walks import Plain

Make = Callable[..., Data]
Fill = Callable[..., None]

N, BATCH, STEPS = 10, 6, 10  # six epochs, whose edges lie in all places of a batch


@pytest.fixture
def told(tmp_path: Path, spec: Make, fill: Fill) -> Callable[..., Data]:
    fill(tmp_path / "trainA", N)
    fill(tmp_path / "trainB", N, first=100)
    common = {"root": tmp_path, "load": 14, "crop": 8, "split": {"val": 0, "test": 0}, "augment": ["VerticalFlip"]}
    return lambda **more: spec(**{"layout": "unpaired", **common, **more})


def play(spec: Data, world: int, first: int, last: int) -> list[torch.Tensor]:
    """Batches first ... last - 1 of `world` ranks put together: both sides beside each other, n 2c h w."""
    ranks: list[list[Any]] = []
    for rank in range(world):
        batches = Batches(spec, batch=BATCH, seed=5, position=first, rank=rank, world=world)
        ranks.append([torch.cat(sides, 1) for sides in islice(batches, last - first)])
        batches.close()
    return [torch.cat(parts) for parts in zip(*ranks, strict=True)]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(one, other, strict=True))


@pytest.mark.parametrize("world", [2, 3, 6])
def test_any_number_of_ranks_sees_one_order(world: int, told: Callable[..., Data]) -> None:
    assert same(play(told(), world, 0, STEPS), play(told(), 1, 0, STEPS))


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2), (3, 2)])
def test_a_run_goes_on_with_another_number_of_ranks(before: int, after: int, told: Callable[..., Data]) -> None:
    whole = play(told(), 1, 0, STEPS)
    for change in range(1, STEPS):
        assert same(play(told(), before, 0, change) + play(told(), after, change, STEPS), whole), change


def test_no_sample_is_doubled_or_left_out_by_a_change_of_ranks(told: Callable[..., Data]) -> None:
    plain = told(load=None, crop=16, flip=False, augment=[])
    for change in (1, 3, 4):  # all in the middle of an epoch
        samples = torch.cat(play(plain, 2, 0, change) + play(plain, 1, change, 5))
        for side in samples.split(3, dim=1):
            seen = [one.numpy().tobytes() for one in side]
            assert all(len(set(seen[start : start + N])) == N for start in range(0, 30, N))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_resumes_at_every_position(workers: int, told: Callable[..., Data]) -> None:
    whole = play(told(), 1, 0, STEPS)
    for position in range(1, STEPS) if workers == 0 else (1, 5):  # 5: an epoch's edge
        assert same(play(told(workers=workers), 1, position, STEPS), whole[position:]), position


def test_replacements_are_drawn_for_a_slot_alone() -> None:
    order = Order((Plain(50), Plain(50)), 4, 7, range(4))
    slots = [slot for p in range(40) for side in order.slots(p) for slot in side]
    drawn = {slot: tuple(islice(order.candidates(slot), 6)) for slot in slots}
    assert len(drawn) == len(slots) == len(set(drawn.values()))
    assert all(given[0] == slot.item for slot, given in drawn.items())
    assert drawn[slots[9]] == tuple(islice(Order((Plain(50), Plain(50)), 2, 7, range(1)).candidates(slots[9]), 6))
    other_seed = Order((Plain(50), Plain(50)), 4, 8, range(4))
    assert tuple(islice(other_seed.candidates(slots[0]), 6))[1:] != drawn[slots[0]][1:]
