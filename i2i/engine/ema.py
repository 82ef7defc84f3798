"""An exponential moving average of weights: a steadier network to translate with than the last iterate."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


class Ema:
    """Averaged copies of some networks; `networks` holds the copies, always in eval mode."""

    def __init__(self, sources: Mapping[str, nn.Module], decay: float) -> None:
        self.sources = dict(sources)
        self.decay = decay
        self.updates = 0
        self.networks = {name: copy.deepcopy(net).eval().requires_grad_(False) for name, net in self.sources.items()}

    @torch.no_grad()
    def update(self) -> None:
        """average ← d·average + (1 - d)·weights, with d warmed up so that the random start is soon forgotten."""
        self.updates += 1
        decay = min(self.decay, self.updates / (self.updates + 9))
        for name, average in self.networks.items():
            source = self.sources[name]
            torch._foreach_lerp_(list(average.parameters()), list(source.parameters()), 1 - decay)
            for kept, current in zip(average.buffers(), source.buffers(), strict=True):
                kept.copy_(current)  # running statistics are averages already

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates, **{name: net.state_dict() for name, net in self.networks.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, net in self.networks.items():
            net.load_state_dict(state[name])
        self.updates = state["updates"]
