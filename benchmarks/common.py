"""What the benchmarks share: the recipes that are measured, timing, training by the clock, tables over seeds."""

import math
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import nn

from i2i import metrics, recipe
from i2i.cost import built
from i2i.data import Batches
from i2i.engine import tuning
from i2i.engine.ema import Ema
from i2i.engine.game import Game
from i2i.engine.loop import Tick, play
from i2i.engine.settings import Settings
from i2i.metrics import Interval
from i2i.models import MODELS

CPU = torch.device("cpu")
PACED = (5, 5)  # rounds, and steps of each recipe in a round; the first round warms up

RECIPES: dict[str, dict[str, Any]] = {
    "cyclegan": {
        "model": "cyclegan",
        "data": {"layout": "unpaired", "root": ".", "crop": 64},
        "batch": 4,
        "generator": {"kind": "resnet", "blocks": 6, "width": 32},
        "discriminator": {"kind": "patch", "layers": 3, "width": 32},
        "schedule": [{"phase": "adversarial", "steps": 1}],
    },
    "pix2pix": {
        "model": "pix2pix",
        "data": {"layout": "paired", "root": ".", "crop": 64},
        "batch": 16,
        "generator": {"kind": "unet", "levels": 5, "width": 40, "norm": "instance-affine", "upsample": "resize-conv"},
        "discriminator": {"kind": "patch", "layers": 3, "width": 32},
        "weights": {"l1": 50},
        "schedule": [{"phase": "adversarial", "steps": 1}],
    },
    "dcgan": {
        "model": "dcgan",
        "data": {"layout": "unlabelled", "root": ".", "crop": 32},
        "batch": 64,
        "generator": {"width": 32},
        "discriminator": {"width": 32},
        "schedule": [{"phase": "adversarial", "steps": 1}],
    },
}


def settings_of(model: str, **changes: Any) -> Settings:
    return recipe.build({**RECIPES[model], **changes}, "the benchmark")


def build(settings: Settings, device: torch.device) -> tuple[Any, Game]:
    """The model from seed 0, tuned as a run's is, and its game."""
    torch.manual_seed(0)
    model = MODELS[type(settings)](settings).to(device)
    tuning.prepare(model, settings, device)
    return model, Game(model.players(settings), settings.precision, device)


def pictures(n: int, crop: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of n pairs of noise, in [-1, 1]."""
    a, b = torch.rand(2, n, 3, crop, crop, device=device) * 2 - 1
    return a, b


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Of one call. On one thread of a CPU its own time, so that neighbours do not count."""
    clock = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    finish(device)
    began = clock()
    call()
    finish(device)
    return clock() - began


def finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def interleaved(calls: Mapping[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """The seconds of each call in each round, after two rounds to warm up. The order turns round after round, so that
    a busy machine slows all alike: compare within a round."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 2):
        for name in list(calls) if turn % 2 else reversed(list(calls)):
            taken = seconds(calls[name], device)
            if turn >= 2:
                found[name].append(taken)
    return found


def ratio(above: list[float], below: list[float]) -> float:
    """The median over the rounds of one call's time over another's."""
    return median(a / b for a, b in zip(above, below, strict=True))


class Stopwatch:
    """Processor and wall seconds spent inside it but not inside `paused`."""

    def __init__(self) -> None:
        self.processor = self.wall = 0.0

    def __enter__(self) -> None:
        self.began = time.process_time(), time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.processor += time.process_time() - self.began[0]
        self.wall += time.perf_counter() - self.began[1]

    @contextmanager
    def paused(self) -> Iterator[None]:
        self.__exit__()
        yield
        self.__enter__()


def parts(settings: Any) -> tuple[Any, Game, Batches, Ema | None]:
    """The model from the recipe's seed as a run builds it, its game, data and averaged weights, on the CPU."""
    torch.manual_seed(settings.seed)
    model, game = built(settings, CPU)
    ema = Ema(model.product(), settings.ema) if settings.ema else None
    return model, game, Batches(settings.data, "train", settings.batch, settings.seed), ema


def train(
    settings: Any, due: Callable[[Tick], bool], look: Callable[[Tick, Mapping[str, nn.Module], Stopwatch], None]
) -> Stopwatch:
    """Plays a recipe's schedule. After each step that is `due`, `look` sees the product with the clock stopped."""
    model, game, batches, ema = parts(settings)
    product = ema.networks if ema else model.product()
    watch = Stopwatch()

    def after(tick: Tick) -> None:
        if ema:
            ema.update()
        if due(tick):
            with watch.paused():
                look(tick, product, watch)

    with watch:
        play(model, game, settings.schedule, batches, epoch_length=batches.epoch_length, seed=settings.seed,
             after=[after])  # fmt: skip
    batches.close()
    return watch


def paces(several: Sequence[Any]) -> list[float]:
    """Processor seconds of a step of each recipe, from its data to its averaged weights: medians, measured in turns so
    that a busy machine slows all alike, of models that are thrown away."""
    runners = [parts(settings) for settings in several]
    taken: list[list[float]] = [[] for _ in several]
    rounds, steps = PACED
    for turn in range(rounds):
        for place, (settings, (model, game, batches, ema)) in enumerate(zip(several, runners, strict=True)):
            for _ in range(steps):
                began = time.process_time()
                with game.autocast():
                    getattr(model, settings.schedule[0].phase)(batches, game)
                if ema:
                    ema.update()
                if turn:
                    taken[place].append(time.process_time() - began)
    for _, _, batches, _ in runners:
        batches.close()
    return [median(found) for found in taken]


def stretched(settings: Any, steps: int) -> Any:
    """The recipe with so many steps in the one phase of its schedule."""
    (phase,) = settings.schedule
    return settings.model_copy(update={"schedule": (phase.model_copy(update={"steps": steps, "epochs": None}),)})


class Verdict(NamedTuple):
    """One minus the other, seed by seed, and what that says: `better`, `worse`, or `open` where it may be chance."""

    difference: Interval
    word: str


def over_seeds(found: Sequence[float]) -> Interval:
    """The mean over seeds with its 95 % interval, by Student's t; of one seed the half is nan."""
    return metrics.mean(torch.tensor(found, dtype=torch.float64))


def verdict(ours: Sequence[float], others: Sequence[float], larger: bool) -> Verdict:
    """Of scores in the order of the same seeds. `larger`: whether larger ones are better."""
    difference = over_seeds([a - b for a, b in zip(ours, others, strict=True)])
    if not abs(difference.value) > difference.half:  # also where half is nan: one seed tells nothing
        return Verdict(difference, "open")
    return Verdict(difference, "better" if (difference.value > 0) == larger else "worse")


def number(value: float, places: int) -> str:
    """As tables have them: .123 and not 0.123."""
    text = f"{abs(value):.{places}f}"
    return ("−" if value < 0 and float(text) else "") + (text.lstrip("0") if "." in text else text)


def plus_minus(found: Interval, places: int, bold: bool = False) -> str:
    """value ± half; of one seed the value alone."""
    value = f"**{number(found.value, places)}**" if bold else number(found.value, places)
    return value if math.isnan(found.half) else f"{value} ± {number(found.half, places)}"


def listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rows))


def machine(device: torch.device) -> str:
    """The line that stands under every figure."""
    names = [line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = f", {torch.cuda.get_device_name(device)}" if device.type == "cuda" else ""
    model = names[0] if names else platform.machine()
    return (
        f"on {device.type}: {torch.get_num_threads()} threads of {cores} cores, {model}{gpu}, torch {torch.__version__}"
    )


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text("ascii", "replace").splitlines() if path.exists() else []
