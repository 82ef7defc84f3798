"""The processes of one run, as torchrun starts them. Networks stay bare: no wrapper, one flat all-reduce a turn.

A wrapper like DDP reduces once a backward pass of one network; a game has several networks, forwards and backwards in
a step, with players frozen and thawed in between, and there such wrappers stop or let the ranks diverge in silence.
"""

import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import torch
import torch.distributed as dist
from torch import Tensor

from i2i.errors import UserError


@dataclass(frozen=True)
class Ranks:
    """Which of the `world` processes this one is; `local` counts those on its own machine.

    Where one process waits for the others, UserError is raised if they do not come.
    """

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
        with self._waiting():
            dist.all_reduce(flat)
        flat /= self.world
        *parts, means = flat.split([*(gradient.numel() for gradient in gradients), values.numel()])
        return [part.view_as(gradient) for part, gradient in zip(parts, gradients, strict=True)], means

    def gathered(self, thing: Any) -> list[Any]:
        """What each rank has, by rank, on rank 0; elsewhere an empty list. Every rank must call it."""
        if self.world == 1:
            return [thing]
        things: list[Any] = [None] * self.world if self.first else []
        with self._waiting():
            dist.gather_object(thing, things if self.first else None)
        return things

    def everywhere(self, thing: Any) -> list[Any]:
        """What each rank has, by rank, on all of them. Every rank must call it; none goes on before all have."""
        if self.world == 1:
            return [thing]
        things: list[Any] = [None] * self.world
        with self._waiting():
            dist.all_gather_object(things, thing)
        return things

    def check_equal(self, tensors: Iterable[Tensor]) -> None:
        """Raises RuntimeError, on all ranks, when these are not the same on every rank, bit for bit."""
        if self.world == 1:
            return
        sums = self.everywhere(digest(tensors))
        if len(set(sums)) > 1:
            raise RuntimeError(
                f"the ranks' weights have diverged: {[told[:8] for told in sums]}. This is a bug of i2i."
            )

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """Torch's errors of a rank that is too late, or gone, in words. Gloo's; NCCL ends the process by itself."""
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            late = "timed out" in str(error).lower()
            raise UserError(
                f"Process {self.rank} of {self.world} (counted from 0) "
                + (
                    "has waited for the others as long as the recipe's `timeout` allows, and gives up: one of them "
                    "hangs, or needs longer for a step, a validation or a saved state (then --set timeout=SECONDS)."
                    if late
                    else f"has lost another one ({_short(error)}), whose own last words say why."
                )
                + " The same command goes on from the last saved state."
            ) from error


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
    """Meets the other processes, if there are any. Who is waited for longer than `timeout` seconds is lost: the waiting
    ones then raise UserError. It is raised here, too, if they cannot meet."""
    ranks = from_torchrun()
    if ranks.world > 1 and not dist.is_initialized():
        # Gloo beside NCCL carries what lies in the computer's memory: a history must not pass through the GPU's.
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        patience = timedelta(seconds=timeout)
        try:
            store, rank, world = next(dist.rendezvous("env://", timeout=patience))
            store = dist.PrefixStore(_name(store, rank, world, timeout), store)
            dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=patience)
        except (RuntimeError, ValueError) as error:
            raise UserError(
                f"Process {ranks.rank} of {ranks.world} (counted from 0) could not meet the others ({_short(error)}). "
                f"Start them with torchrun, see docs/distributed.md; without it, unset RANK and WORLD_SIZE."
            ) from error
    return ranks


def _name(store: dist.Store, rank: int, world: int, timeout: int) -> str:
    """A name that these processes alone share, to put under it where they are reached. When torchrun starts processes
    again it keeps its store, in which they would find where the dead ones listened, and nothing else that it tells them
    is new and the same on all machines. So rank 0 makes up a name, and tells it to each that asks with a new token."""
    if rank:
        token = uuid4().hex
        store.set(f"i2i/asks/{rank}", token)
        told: str = store.get(f"i2i/told/{token}").decode()  # waits for it
        store.add(f"i2i/heard/{told}", 1)
        return told
    name, began = uuid4().hex, time.monotonic()
    while store.add(f"i2i/heard/{name}", 0) < world - 1:
        for other in range(1, world):
            if store.check([f"i2i/asks/{other}"]):
                store.set(f"i2i/told/{store.get(f'i2i/asks/{other}').decode()}", name)
        if time.monotonic() - began > timeout:
            raise RuntimeError(f"timed out after {timeout} s")
        time.sleep(0.02)
    return name


def leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def _short(error: Exception) -> str:
    """An error's first sentence, without the place in torch's source before it."""
    return re.split(r"\. |\n", re.sub(r"^\[[^]]*\] ", "", str(error).strip()))[0].rstrip(".")
