"""What several engine tests share: two small players, and eyes for what moved."""

import copy
from collections.abc import Iterable, Iterator
from itertools import pairwise, repeat
from typing import Any

import torch
from torch import Tensor, nn

from i2i.engine.game import Game, Player
from i2i.engine.loop import Tick
from i2i.engine.monitor import Log


def mlp(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def adam(*nets: nn.Module, lr: float = 0.01) -> Player:
    return Player(torch.optim.Adam([p for net in nets for p in net.parameters()], lr=lr, betas=(0.5, 0.999)))


def sgd(*nets: nn.Module, lr: float = 1.0, **settings: float) -> Player:
    return Player(torch.optim.SGD([p for net in nets for p in net.parameters()], lr=lr, **settings))


def values(things: Iterable[Tensor | None]) -> list[Tensor | None]:
    """Copies to compare with later."""
    return [None if thing is None else thing.detach().clone() for thing in things]


def weights(*nets: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for net in nets for p in net.parameters()]


def same(before: Any, after: Any) -> bool:
    """Bit for bit, through lists and dicts."""
    if isinstance(before, Tensor):
        return torch.equal(before, after)
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(same(before[key], after[key]) for key in before)
    if isinstance(before, list | tuple):
        return len(before) == len(after) and all(same(b, a) for b, a in zip(before, after, strict=True))
    return before == after


def state(player: Player) -> dict[str, Any]:
    return copy.deepcopy(player.optimiser.state_dict())


def forever(batch: Any) -> Iterator[Any]:
    return repeat(batch)


def log(game: Game) -> dict[str, float]:
    return {name: value.item() for name, value in game.log.items()}


def logged(log: Log, game: Any, batches: Any, losses: dict[int, float]) -> None:
    """Steps whose only loss is l1: what a log is told by `parts` of a run."""
    for step, value in losses.items():
        game.log = {"generator/l1": torch.tensor(value)}
        batches.position += 1
        log(Tick(step, 4, "adversarial", 0.5))
