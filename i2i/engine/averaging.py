"""Historical averaging (Salimans et al. 2016, section 3.3): a player is drawn back to the mean of where it has been.

Each cost gets w ‖θ - (1/t) Σᵢ θ[i]‖², whose gradient 2w (θ - mean) is added right before the optimiser's step: after
ranks, parts and scalers have made one gradient of theirs, and after it was clipped. Gradient steps that circle an
equilibrium for ever, as those of min_x max_y xy do, then spiral into it.

The mean lies in the optimiser's own state beside Adam's moments, so whatever saves, restores, moves or counts that has
it, too.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

MEAN, TIMES = "historical_mean", "historical_times"  # keys of `optimiser.state[p]`: like p, and how many it is of


def average_history(optimiser: Optimizer, weight: float) -> None:
    """From now on each step of `optimiser` also pays `weight`, above 0, for the distance to its own past.

    A parameter's history begins where its first step does, and a step without a gradient of it is not counted.
    """
    first: dict[Tensor, Tensor] = {}

    @torch.no_grad()
    def pull(*_: Any) -> None:
        for p, gradient in _moving(optimiser):
            mean = optimiser.state[p].get(MEAN)
            if mean is None:
                # Adam makes its state where there is none at all, so ours has to wait until its first step is done.
                first[p] = p.detach().clone()
            else:
                gradient.add_(p - mean, alpha=2 * weight)

    @torch.no_grad()
    def remember(*_: Any) -> None:
        # Fused optimisers are told by a scaler of an overflow, and stay where they are: then nothing has passed.
        overflow = getattr(optimiser, "found_inf", None)
        for p, _gradient in _moving(optimiser):
            state = optimiser.state[p]
            if p in first:
                state[MEAN], state[TIMES] = first.pop(p), p.new_ones(())
            moved = 1.0 if overflow is None else 1 - overflow.to(p)
            state[TIMES] += moved
            state[MEAN].lerp_(p, moved / state[TIMES])

    optimiser.register_step_pre_hook(pull)
    optimiser.register_step_post_hook(remember)


def _moving(optimiser: Optimizer) -> Iterator[tuple[Tensor, Tensor]]:
    """The parameters of which there is a gradient, with it."""
    for group in optimiser.param_groups:
        for p in group["params"]:
            if p.grad is not None:
                yield p, p.grad
