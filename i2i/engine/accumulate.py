"""Gradient accumulation for games: a batch is played in parts that meet at every move.

Running a whole step for each part would be wrong: in Pix2Pix the generator's turn asks the discriminator that has just
moved, so all parts must have made the first turn before any begins the second. So each part plays the phase in a
coroutine of its own; `minimise` adds up gradients and hands over, and with the last part the player moves.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Any

from greenlet import getcurrent, greenlet
from torch import Tensor

from i2i.engine.game import Game

Phase = Callable[[Iterator[Any], Game], None]


def in_parts(phase: Phase, batches: Iterator[Any], game: Game, parts: int) -> None:
    """One step of `phase` on batches cut into `parts`, equal to the step on whole ones where no layer mixes pictures.

    Random numbers (dropout, noise, a full history's choice) are as good, but fall in another order.

    Raises RuntimeError when the parts do not take the same turns.
    """
    if parts == 1:
        phase(batches, game)
        return
    pulled: list[list[Any]] = []  # the batches of this step, cut

    def share(part: int) -> Iterator[Any]:
        for i in count():
            if i == len(pulled):
                pulled.append(cut(next(batches), parts))
            yield pulled[i][part]

    players = [greenlet(partial(phase, share(part), game)) for part in range(parts)]
    game.parts, game.hand_over = parts, getcurrent().switch
    try:
        while not all(player.dead for player in players):
            if any(player.dead for player in players):
                raise RuntimeError("the parts of a batch took different turns, so their gradients cannot be added up")
            for game.part, player in enumerate(players):
                player.switch()
    finally:
        game.part, game.parts, game.hand_over = 0, 1, _stay


def cut(batch: Any, parts: int) -> list[Any]:
    """A batch, a tensor or a tuple of tensors, as `parts` equal ones."""
    if isinstance(batch, Tensor):
        if len(batch) % parts:
            raise ValueError(f"a batch of {len(batch)} cannot be cut into {parts} equal parts")
        return list(batch.chunk(parts))
    return list(zip(*(cut(side, parts) for side in batch), strict=True))


def _stay() -> None:
    """Without parts there is nobody to hand over to."""
