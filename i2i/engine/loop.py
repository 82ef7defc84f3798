"""The training loop. It knows nothing of GANs: it counts steps, seeds them, sets rates and calls the phase."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from i2i.engine.accumulate import in_parts
from i2i.engine.game import Game
from i2i.engine.schedule import Phase


@dataclass(frozen=True)
class Tick:
    """What has just happened, for those who log, sample and save."""

    step: int  # steps done, 1 after the first
    steps: int  # steps in the whole schedule
    phase: str
    rate: float  # the factor on the learning rates

    @property
    def last(self) -> bool:
        return self.step == self.steps

    def due(self, every: int) -> bool:
        return self.step % every == 0 or self.last


def play(
    model: Any,
    game: Game,
    schedule: Sequence[Phase],
    batches: Iterator[Any],
    *,
    epoch_length: int,
    seed: int,
    done: int = 0,
    parts: int = 1,
    after: Sequence[Callable[[Tick], None]] = (),
) -> None:
    """Plays the schedule from step `done` to its end; each phase is the model's method of that name.

    The random numbers of a step depend on (seed, step, rank) alone, so a run resumed at any step draws what it would
    have drawn. `parts`: each batch is played in so many, see `in_parts`. `after` is called after every step, in order.
    """
    lengths = [phase.length(epoch_length) for phase in schedule]
    steps = sum(lengths)
    start = 0
    for phase, length in zip(schedule, lengths, strict=True):
        play_step = getattr(model, phase.phase)
        for step in range(max(start, done), start + length):
            torch.manual_seed(step_seed(seed, step, game.ranks.rank))
            rate = phase.rate(step - start, length)
            game.set_rate(rate)
            with game.autocast():
                in_parts(play_step, batches, game, parts)
            tick = Tick(step + 1, steps, phase.phase, rate)
            for call in after:
                call(tick)
        start += length


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """A number for (seed, step, rank). Hashed into 32 bits, not laid side by side in 64: torch's CPU generator drops
    the upper half of its seed, so every run would draw the same noise."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0])
