import itertools

import pytest
import torch
from torch import nn

from i2i.engine.game import Game
from i2i.engine.loop import Tick, play
from i2i.engine.schedule import Phase

from .helpers import sgd


class Diary:
    """A model that writes down what it was given and what it drew."""

    def __init__(self) -> None:
        self.net = nn.Linear(1, 1)
        self.game = Game({"net": sgd(self.net, lr=0.5)})
        self.lines: list[tuple[str, int, float, float]] = []
        self.ticks: list[Tick] = []

    def write(self, phase: str, batches) -> None:
        rate = self.game.players["net"].optimiser.param_groups[0]["lr"]
        self.lines.append((phase, next(batches), rate, torch.rand(()).item()))

    def warm(self, batches, game) -> None:
        self.write("warm", batches)

    def main(self, batches, game) -> None:
        self.write("main", batches)

    def play(self, done: int = 0, seed: int = 0) -> "Diary":
        schedule = [Phase(phase="warm", steps=3), Phase(phase="main", epochs=2, lr="linear")]
        batches = itertools.count(done)
        play(self, self.game, schedule, batches, epoch_length=2, seed=seed, done=done, after=[self.ticks.append])
        return self


def test_phases_are_played_in_order_each_for_its_length_at_its_own_rates():
    lines = Diary().play().lines
    assert [line[0] for line in lines] == ["warm"] * 3 + ["main"] * 4
    assert [line[1] for line in lines] == list(range(7))
    assert [line[2] for line in lines] == pytest.approx([0.5, 0.5, 0.5, 0.5, 0.375, 0.25, 0.125])


@pytest.mark.parametrize("done", range(8))
def test_a_resumed_run_plays_and_draws_what_the_whole_one_did(done):
    whole, resumed = Diary().play(), Diary().play(done)
    assert resumed.lines == whole.lines[done:]
    assert resumed.ticks == whole.ticks[done:]


def test_every_step_and_every_seed_draws_its_own_numbers():
    drawn = [line[3] for seed in range(3) for line in Diary().play(seed=seed).lines]
    assert len(set(drawn)) == 21


def test_a_step_draws_the_same_whatever_was_drawn_after_the_step_before():
    class Greedy(Diary):
        def main(self, batches, game) -> None:
            super().main(batches, game)
            torch.rand(1000)

    assert Greedy().play().lines == Diary().play().lines


def test_each_tick_says_where_the_run_stands():
    ticks = Diary().play().ticks
    assert [tick.step for tick in ticks] == [1, 2, 3, 4, 5, 6, 7]
    assert {tick.steps for tick in ticks} == {7}
    assert [tick.phase for tick in ticks] == ["warm"] * 3 + ["main"] * 4
    assert [tick.rate for tick in ticks] == [1, 1, 1, 1, 0.75, 0.5, 0.25]
    assert [tick.last for tick in ticks] == [False] * 6 + [True]


def test_what_is_due_every_n_steps_is_also_due_at_the_last():
    ticks = Diary().play().ticks
    assert [tick.step for tick in ticks if tick.due(3)] == [3, 6, 7]
    assert [tick.step for tick in ticks if tick.due(100)] == [7]


def test_a_phase_runs_in_the_games_precision():
    class Half(Diary):
        def write(self, phase: str, batches) -> None:
            super().write(phase, batches)
            self.dtypes.append(self.net(torch.ones(1, 1)).dtype)

    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
        diary = Half()
        diary.dtypes, diary.game = [], Game({"net": sgd(diary.net)}, precision)
        diary.play()
        assert diary.dtypes == [dtype] * 7
