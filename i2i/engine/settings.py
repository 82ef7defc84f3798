"""What every recipe says about its run, whatever the model: seed, batch, precision, schedule, what to write when."""

from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from i2i.data import Data
from i2i.engine.averaging import average_history
from i2i.engine.game import Player, Precision
from i2i.engine.schedule import Phase
from i2i.spec import Spec


class Optimiser(Spec):
    """One player's optimiser. Defaults are Adam as DCGAN (Radford et al. 2015) and all its heirs set it."""

    kind: Literal["adam", "sgd"] = "adam"
    lr: float = Field(2e-4, gt=0)
    betas: tuple[float, float] = (0.5, 0.999)
    momentum: float = Field(0.0, ge=0, lt=1, description="for sgd")
    weight_decay: float = Field(0.0, ge=0)
    clip: float | None = Field(None, gt=0, description="largest global gradient norm")
    historical: float = Field(0.0, ge=0, description="weight of historical averaging, Salimans et al. 2016")

    def player(self, parameters: Iterable[Tensor]) -> Player:
        leaves = list(parameters)
        # One kernel for all tensors and all operations of a step: on a CPU it takes a sixth of the time, too.
        if self.kind == "adam":
            optimiser: torch.optim.Optimizer = torch.optim.Adam(
                leaves, lr=self.lr, betas=self.betas, weight_decay=self.weight_decay, fused=True
            )
        else:
            optimiser = torch.optim.SGD(
                leaves, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay, fused=True
            )
        if self.historical:
            average_history(optimiser, self.historical)
        return Player(optimiser, self.clip)


class Settings(Spec):
    """The part of a recipe that all models share; each model's recipe adds its data, networks, weights and players."""

    model: str
    data: Data
    seed: int = Field(0, ge=0, lt=2**31)
    batch: int = Field(1, ge=1, description="pictures in a step, over all processes")
    precision: Precision | Literal["auto"] = Field("fp32", description="auto: bf16 where the hardware computes in it")
    ema: float | None = Field(None, gt=0, lt=1, description="decay of the averaged weights that are then the product")
    schedule: tuple[Phase, ...] = Field(min_length=1)

    # What a step costs. None of these changes what is learnt, but for rounding.
    memory: Literal["auto"] | None = Field(None, description="auto: recompute and accumulate as the device needs it")
    accumulate: int = Field(1, ge=1, description="parts that a batch is played in, one after the other")
    recompute: bool = Field(False, description="activations are made again in the backward pass, not kept")
    channels_last: bool = Field(False, description="weights and pictures lie in memory as n h w c")
    compile: bool | Literal["graphs"] = Field(False, description="each network by torch.compile; graphs: CUDA graphs")

    # What is told and kept.
    log: tuple[Literal["tensorboard", "wandb"], ...] = ("tensorboard",)
    log_every: int = Field(20, ge=1, description="steps between lines of the log")
    sample_every: int = Field(500, ge=1, description="steps between sample grids")
    samples: int = Field(8, ge=1, description="pictures in a sample grid")
    save_every: int = Field(500, ge=1, description="steps between saved states")
    keep: int = Field(2, ge=2, description="saved states on disk; one can be damaged")
    validate_every: int | None = Field(500, ge=1, description="steps between validations; null for none")
    validate_pictures: int = Field(256, ge=2, description="of the val split, at most")
    select: str | None = Field(None, description="the validation score that the best model has; null: the layout's own")
    retries: int = Field(3, ge=0, description="times a non-finite step may halve the rates and go back")
    timeout: int = Field(1800, ge=1, description="seconds that a process waits for the others before it gives up")


# What may be changed when a run goes on: it decides what a step costs and what is told, not what is learnt.
CHANGEABLE = frozenset(
    {"memory", "accumulate", "recompute", "channels_last", "compile", "log", "log_every", "sample_every", "samples",
     "save_every", "keep", "validate_every", "validate_pictures", "retries", "timeout"}
)  # fmt: skip
