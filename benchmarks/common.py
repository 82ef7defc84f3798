"""What the benchmarks share: the machine's line, interleaved timing, the recipes that are measured."""

import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import torch

from i2i import recipe
from i2i.engine import tuning
from i2i.engine.game import Game
from i2i.engine.settings import Settings
from i2i.models import MODELS

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
