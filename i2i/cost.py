"""What a run will cost, said before its first step; `memory: auto` makes it fit."""

from functools import partial
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from i2i.data import Data, MixtureData, PartlyLabelledData, fixed, open_split
from i2i.data.few import UNKNOWN
from i2i.engine.estimate import Estimate, advice, batch_statistics, choose, estimate
from i2i.engine.game import ALONE, Game, precision_of
from i2i.engine.ranks import Ranks
from i2i.engine.settings import Settings
from i2i.engine.tuning import prepare
from i2i.errors import UserError
from i2i.models import MODELS


def built(settings: Settings, device: torch.device, ranks: Ranks = ALONE) -> tuple[Any, Game]:
    """The recipe's model on its device, with new weights from torch's random numbers, and the game it plays."""
    model: Any = MODELS[type(settings)](settings).to(device)
    prepare(model, settings, device)
    return model, Game(model.players(settings), precision_of(settings.precision, device), device, ranks)


def fitted(settings: Settings, device: torch.device, ranks: Ranks, console: Console) -> Settings:
    """The settings, with what `memory: auto` chooses, and on the console what a step and an epoch will take.

    Raises UserError when nothing fits, and when a batch cannot be played in the parts that are asked for.
    """
    share = settings.batch // ranks.world
    if share % settings.accumulate:
        raise UserError(
            f"accumulate: {settings.accumulate} must divide the {share} pictures that a process has in a step."
        )
    with torch.device("meta"):
        mixing = batch_statistics(MODELS[type(settings)](settings))
    if settings.accumulate > 1 and mixing:
        raise UserError(
            f"accumulate: {settings.accumulate} would change what is learnt, since {mixing[0]} and {len(mixing) - 1} "
            f"other layers compute over a whole batch. Use norm: instance or group, or leave accumulate out."
        )
    if settings.memory is None and console.quiet:
        return settings
    own = settings.model_copy(update={"batch": share})
    length = max(1, len(open_split(settings.data, "train")) // settings.batch)
    measure = partial(_measured, device=device, epoch_length=length)
    if settings.memory == "auto":
        chosen, found = choose(own, mixing, measure) if ranks.first else (own, None)
        picked = ranks.everywhere({"recompute": chosen.recompute, "accumulate": chosen.accumulate})[0]
        settings = settings.model_copy(update=picked)
    else:
        try:
            found = measure(own)
        except torch.OutOfMemoryError:
            found = None
        if lines := advice(own, found, mixing, measure):
            say(console, "This may be more memory than the device has. What would help:", *lines)
    if found:
        say(console, f"a step needs {found}; an epoch about {_time(found.seconds_per_epoch)}")
    return settings


def say(console: Console, *lines: str) -> None:
    """Plain lines, as they are: a log's lines are not wrapped."""
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _measured(settings: Settings, device: torch.device, epoch_length: int) -> Estimate:
    def build(changed: Settings) -> tuple[Any, Game]:
        return built(changed, device)

    return estimate(settings, device, build, lambda n: _some(settings.data, n, device), epoch_length)


def _some(data: Data, n: int, device: torch.device) -> Any:
    """n training pictures as a batch has them: one of them, n times."""
    if isinstance(data, MixtureData):
        return fixed(data, "train", n, device)
    one = fixed(data, "train", 1, device)
    if isinstance(one, Tensor):
        return one.repeat(n, 1, 1, 1)
    some = tuple(part.repeat(n, *(1 for _ in part.shape[1:])) for part in one)
    if isinstance(data, PartlyLabelledData):
        some[1][::2], some[1][1::2] = 0, UNKNOWN
    return some


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
