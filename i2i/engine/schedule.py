"""Schedules as pure functions of progress: nothing to step, nothing to checkpoint."""

import math
from collections.abc import Callable
from typing import Literal, Self

from pydantic import Field, model_validator

from i2i.spec import Spec

Rate = Literal["constant", "flat-then-linear", "linear", "cosine"]

# progress in [0, 1) → the factor on every player's base learning rate
RATES: dict[str, Callable[[float], float]] = {
    "constant": lambda p: 1.0,
    # CycleGAN, appendix: the base rate for the first half of training, then a straight line to zero.
    "flat-then-linear": lambda p: min(1.0, 2 * (1 - p)),
    "linear": lambda p: 1 - p,
    "cosine": lambda p: 0.5 * (1 + math.cos(math.pi * p)),
}


class Phase(Spec):
    """One line of a recipe's schedule: which phase of the model to play, for how long, at which learning rates."""

    phase: str
    epochs: float | None = Field(None, gt=0, description="passes over the training data")
    steps: int | None = Field(None, gt=0, description="calls of the phase")
    lr: Rate = "constant"
    floor: float = Field(0.0, ge=0, le=1, description="the factor on the learning rates never falls below this")

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(f"phase {self.phase!r} needs either `epochs` or `steps`, and not both")
        return self

    def length(self, epoch_length: int) -> int:
        """Steps, given how many steps an epoch has."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return max(1, round(self.epochs * epoch_length))

    def rate(self, step: int, length: int) -> float:
        """The factor on every learning rate at `step` of `length`."""
        return max(self.floor, RATES[self.lr](step / length))
