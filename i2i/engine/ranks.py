"""The processes of one run, as torchrun starts them. Networks stay bare: no wrapper, one flat all-reduce a turn.

A wrapper like DDP reduces once a backward pass of one network; a game has several networks, forwards and backwards in
a step, with players frozen and thawed in between, and there such wrappers stop or let the ranks diverge in silence.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Ranks:
    """Which of the `world` processes this one is; `local` counts those on its own machine."""

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Rank 0 alone writes: the log, the samples, the saved states."""
        return self.rank == 0

    def average(self, gradients: Sequence[Tensor], values: Tensor) -> tuple[list[Tensor], Tensor]:
        """The means over the ranks of some gradients and of `values` (k,), all float32, in one all-reduce."""
        if self.world == 1:
            return list(gradients), values
        flat = torch.cat([*(gradient.reshape(-1) for gradient in gradients), values])
        dist.all_reduce(flat)
        flat /= self.world
        *parts, means = flat.split([*(gradient.numel() for gradient in gradients), values.numel()])
        return [part.view_as(gradient) for part, gradient in zip(parts, gradients, strict=True)], means

    def gathered(self, thing: Any) -> list[Any]:
        """What each rank has, by rank, on rank 0; elsewhere an empty list. Every rank must call it."""
        if self.world == 1:
            return [thing]
        things: list[Any] = [None] * self.world if self.first else []
        dist.gather_object(thing, things if self.first else None)
        return things

    def check_equal(self, tensors: Iterable[Tensor]) -> None:
        """Raises RuntimeError, on all ranks, when these are not the same on every rank, bit for bit."""
        if self.world == 1:
            return
        sums: list[Any] = [None] * self.world
        dist.all_gather_object(sums, digest(tensors))
        if len(set(sums)) > 1:
            raise RuntimeError(
                f"the ranks' weights have diverged: {[told[:8] for told in sums]}. This is a bug of i2i."
            )


def digest(tensors: Iterable[Tensor]) -> str:
    """sha256 over the bytes of some tensors."""
    told = hashlib.sha256()
    for tensor in tensors:
        told.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return told.hexdigest()


def from_torchrun() -> Ranks:
    """Where torchrun has put this process; alone where it was started by hand."""
    told = os.environ
    return Ranks(int(told.get("RANK", 0)), int(told.get("WORLD_SIZE", 1)), int(told.get("LOCAL_RANK", 0)))


def join(device: torch.device, timeout: int) -> Ranks:
    """Meets the other processes, if there are any. A rank that is waited for longer than `timeout` seconds is lost:
    the waiting ones then raise RuntimeError."""
    ranks = from_torchrun()
    if ranks.world > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(seconds=timeout))
    return ranks


def leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
