"""All of a game in progress that a resume needs, as tensors, numbers and strings."""

from typing import Any

import torch
from torch import nn

from i2i.engine.ema import Ema
from i2i.engine.game import Game


def pack(model: nn.Module, game: Game, ema: Ema | None) -> dict[str, Any]:
    """Weights, optimisers, scalers, averages; and what each rank has of its own: histories and running statistics.

    All ranks must call it; it is complete on rank 0. Raises RuntimeError when the ranks' weights are not equal.
    """
    values, shared = model.state_dict(), {name for name, _ in model.named_parameters(remove_duplicate=False)}
    game.ranks.check_equal(model.parameters())
    own = game.ranks.gathered({name: moved(value, "cpu") for name, value in values.items() if name not in shared})
    return {
        "model": {name: value for name, value in values.items() if name in shared},
        "ranks": own,
        "optimisers": {name: player.optimiser.state_dict() for name, player in game.players.items()},
        "scalers": {name: scaler.state_dict() for name, scaler in game.scalers.items()},
        "ema": ema.state_dict() if ema else None,
    }


def unpack(state: dict[str, Any], model: nn.Module, game: Game, ema: Ema | None) -> None:
    """The opposite. With more ranks than were packed some begin with another's history; with fewer some are lost."""
    own = state["ranks"]
    mine = {name: moved(value, game.device) for name, value in own[game.ranks.rank % len(own)].items()}
    model.load_state_dict({**state["model"], **mine})
    for name, player in game.players.items():
        player.optimiser.load_state_dict(state["optimisers"][name])
        game.scalers[name].load_state_dict(state["scalers"][name])
    if ema:
        ema.load_state_dict(state["ema"])


def moved(value: Any, device: str | torch.device) -> Any:
    """A buffer, or a module's extra state: a list of tensors."""
    return [part.to(device) for part in value] if isinstance(value, list) else value.to(device)
