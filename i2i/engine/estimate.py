"""What a step will take, measured before the first one, and what helps where that is more than there is.

A second instance of the model plays a step on very small batches, and the bytes alive after each operation are written
down. Every tensor is either of a fixed size or proportional to the batch, so each operation gives a straight line in
the batch, and the highest of all lines at the full batch is what the step will need. A line through the peaks alone
would be wrong: in a small batch the peak lies elsewhere, in an optimiser rather than between the two passes.
"""

import gc
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from i2i.engine.accumulate import in_parts
from i2i.engine.game import Game
from i2i.engine.history import History
from i2i.engine.memory import Curve, available, size, told
from i2i.engine.settings import Settings
from i2i.errors import UserError

MARGIN = 0.9  # of what is free: allocators lose some to fragments, libraries take workspaces within an operation
LONGEST = 10.0  # seconds: whole batches are played, to time them, only where a step is predicted to take less

Build = Callable[[Settings], tuple[Any, Game]]


@dataclass(frozen=True)
class Estimate:
    """What a step will take. Bytes are those of tensors on the device."""

    batch: int
    held: dict[str, int]  # bytes from step to step, by what holds them
    lines: tuple[tuple[float, float], ...]  # bytes within a step, the highest of: this many, and so many a picture
    available: int  # bytes that the device has left for the run
    seconds_per_step: float
    seconds_per_epoch: float

    def at(self, batch: int, area: float = 1.0) -> int:
        """The bytes for another batch, of pictures `area` times as large."""
        return round(sum(self.held.values()) + max(fixed + each * area * batch for fixed, each in self.lines))

    @property
    def bytes(self) -> int:
        return self.at(self.batch)

    def fits(self, count: int | None = None) -> bool:
        """Whether this, or another number of bytes, is there."""
        return (self.bytes if count is None else count) <= MARGIN * self.available

    @property
    def parts(self) -> dict[str, int]:
        """What takes how many bytes when it is most; they add up to `bytes`."""
        _, each = max(self.lines, key=lambda line: line[0] + line[1] * self.batch)
        activations = round(each * self.batch)
        return self.held | {"activations": activations, "gradients": self.bytes - sum(self.held.values()) - activations}

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {told(count)}" for name, count in self.parts.items() if count > 0)
        return f"{told(self.bytes)} of {told(self.available)} ({parts}), {self.seconds_per_step:.2g} s a step"


def estimate(
    settings: Settings, device: torch.device, build: Build, batch_of: Callable[[int], Any], epoch_length: int = 0
) -> Estimate:
    """Plays a few steps of a model that is built for this and dropped again. Others' random numbers stay as they were.

    `build(settings)` gives a new model on `device`, tuned as the settings say, and its game; `batch_of(n)` n pictures
    as the phases expect them; `epoch_length` is in steps. Of several phases the one that takes the most memory counts.
    Call it before the run's own model is built: what is free is measured now.
    Raises torch.OutOfMemoryError where not even the smallest batch fits.
    """
    index = [torch.cuda.current_device() if device.index is None else device.index] if device.type == "cuda" else []
    with torch.random.fork_rng(index), torch.enable_grad():
        torch.manual_seed(0)
        free = available(device)
        # Compiling would take longer than all of this, and what it changes is time rather than memory.
        settings = settings.model_copy(update={"compile": False})
        model, game = build(settings)
        phases = dict.fromkeys(phase.phase for phase in settings.schedule)
        found = [_of_phase(model, game, settings, phase, batch_of, free, epoch_length) for phase in phases]
        del model, game
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return max(found, key=lambda each: each.bytes)


def _of_phase(
    model: Any, game: Game, settings: Settings, phase: str, batch_of: Callable[[int], Any], free: int, epoch: int
) -> Estimate:
    batch, play = settings.batch, getattr(model, phase)
    # Where pictures of a batch are mixed one alone may be a case of its own: a variance over one value.
    least = 2 if batch_statistics(model) else settings.accumulate
    small, large = min(batch, least), min(batch, 2 * least)
    batches = {n: batch_of(n) for n in (small, large)}

    def step(n: int) -> float:
        """Plays a step of n pictures; its seconds."""
        _finish(game.device)
        began = time.perf_counter()
        with game.autocast():
            in_parts(play, itertools.repeat(batches[n]), game, settings.accumulate)
        _finish(game.device)
        return time.perf_counter() - began

    step(small)  # makes the optimisers' state, and warms up
    curves = {n: Curve(game.device) for n in (small, large)}
    for n, curve in curves.items():
        with curve:
            step(n)
    lines = _lines(curves, batch, size(batches[large]) / large)
    times = {n: step(n) for n in (small, large)}
    slope = max(0.0, times[large] - times[small]) / (large - small) if large > small else 0.0
    seconds = times[large] + slope * (batch - large)
    found = Estimate(batch, _held(model, game, settings), lines, free, seconds, seconds * epoch)
    if large < batch and found.fits() and seconds <= LONGEST:
        batches = {batch: batch_of(batch)}
        step(batch)
        seconds = step(batch)  # on small batches kernels are faster or slower
        found = replace(found, seconds_per_step=seconds, seconds_per_epoch=seconds * epoch)
    return found


def _lines(curves: dict[int, Curve], batch: int, picture: float) -> tuple[tuple[float, float], ...]:
    """Those of all operations that are highest for some batch up to this one. `picture`: bytes of the batch's own.

    Operations whose number depends on the batch (a history is mixed picture by picture) are passed over.
    """
    (small, one), (large, two) = min(curves.items()), max(curves.items())
    steady = [moment for moment in one.bytes if one.calls[moment[0]] == two.calls[moment[0]]]
    here = np.array([one.bytes[moment] for moment in steady], dtype=float)
    there = np.array([two.bytes[moment] for moment in steady], dtype=float)
    # A batch of one picture has no second point; nearly all of it grows with the pictures.
    each = (there - here) / (large - small) if large > small else there / large
    fixed = there - each * large
    highest = {int(np.argmax(fixed + each * n)) for n in range(1, batch + 1)}
    return tuple((float(fixed[i]), float(each[i]) + picture) for i in sorted(highest))


def _held(model: Any, game: Game, settings: Settings) -> dict[str, int]:
    histories = [module for module in model.modules() if isinstance(module, History) and module.past]
    return {
        "weights": size([*model.parameters(), *model.buffers()]),
        "optimisers": size([[*player.optimiser.state.values()] for player in game.players.values()]),
        "averages": size([net.state_dict() for net in model.product().values()]) if settings.ema else 0,
        "history": sum(history.capacity * history.past[0].nbytes for history in histories),
    }


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def batch_statistics(model: nn.Module) -> list[str]:
    """The names of the modules in which pictures of one batch meet: batch norms, and those that say so themselves by
    `mixes_batch = True`. With any of them a batch played in parts is another computation."""
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, _BatchNorm) or getattr(module, "mixes_batch", False)
    ]


Measure = Callable[[Settings], Estimate]


def choose(settings: Settings, mixing: Sequence[str], measure: Measure) -> tuple[Settings, Estimate]:
    """For `memory: auto`, the first that fits of: the settings as they are, with recomputation, and then with the
    batch in 2, 4, 8, ... parts as well. None of them changes what is learnt.

    `mixing`: the model's `batch_statistics`, which forbid parts; `measure`: `estimate` of the settings it is given.
    Raises UserError with advice when none fits.
    """
    tried = []
    for changed in _cheaper(settings, mixing):
        found = _unless_full(changed, measure)
        if found and found.fits():
            return changed, found
        tried += [(changed, found)] if found else []
    # More parts can take more memory: each keeps what its backward pass needs until all have made the first turn.
    best, least = min(tried, key=lambda pair: pair[1].bytes, default=(settings, None))
    need = f"{least}" if least else "not even a small batch fits"
    lines = advice(best, least, mixing, measure)
    raise UserError("\n".join([f"The device's memory is too small for this recipe: {need}.", *lines]))


def _cheaper(settings: Settings, mixing: Sequence[str]) -> Iterator[Settings]:
    yield settings
    settings = settings.model_copy(update={"recompute": True})
    yield settings
    if not mixing:
        yield from _in_more_parts(settings)


def _in_more_parts(settings: Settings) -> Iterator[Settings]:
    parts = 2 * settings.accumulate
    while settings.batch % parts == 0:
        yield settings.model_copy(update={"accumulate": parts})
        parts *= 2


def advice(settings: Settings, found: Estimate | None, mixing: Sequence[str], measure: Measure) -> list[str]:
    """What to type where a run does not fit, and what it will take then; empty where it fits.

    `found`: the estimate for these settings, None if even that ran out of memory. What changes nothing that is learnt
    comes first, and is measured; another batch or crop is calculated.
    """
    if found and found.fits():
        return []
    lines = []

    def tell(typed: str, changed: Settings, note: str = "") -> bool:
        told_of = _unless_full(changed, measure)
        if told_of:
            enough = "" if told_of.fits() else ", still too much"
            lines.append(f"--set {typed}: {told(told_of.bytes)}{enough}{note}")
        return told_of is not None and told_of.fits()

    if not settings.recompute:
        tell("recompute=true", settings.model_copy(update={"recompute": True}))
    if not mixing:
        for changed in _in_more_parts(settings):
            if tell(f"accumulate={changed.accumulate}", changed):
                break
    if settings.precision == "fp32":
        tell("precision=bf16", settings.model_copy(update={"precision": "bf16"}), " (fewer digits)")
    if found:
        batch = next((n for n in range(settings.batch - 1, 0, -1) if found.fits(found.at(n))), 0)
        if batch:
            lines.append(f"--set batch={batch}: {told(found.at(batch))} (learns otherwise)")
        crop = getattr(settings.data, "crop", 0)
        half = next((k for k in (2, 4, 8) if crop and found.fits(found.at(settings.batch, 1 / k**2))), 0)
        if half:
            count = found.at(settings.batch, 1 / half**2)
            lines.append(f"--set data.crop={crop // half}: {told(count)} (learns from smaller pictures)")
    return lines


def _unless_full(settings: Settings, measure: Measure) -> Estimate | None:
    try:
        return measure(settings)
    except torch.OutOfMemoryError:
        return None
