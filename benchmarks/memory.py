"""The peak memory of a step under each memory option, against the plain step, and the estimate against what came.

    python benchmarks/memory.py --help

A step is played twice to settle (optimisers have their state then), and the third is measured: bytes of tensors, with
weights and optimisers (all), and without what is held from step to step (step). Times are ratios to the plain step,
interleaved. The estimate is what a run prints before its first step.
"""

import argparse
import itertools
import os
import time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from common import build, interleaved, machine, pictures, ratio, settings_of

from i2i.engine.accumulate import in_parts
from i2i.engine.estimate import batch_statistics, estimate
from i2i.engine.memory import Peak, told

AIM = 0.60
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "recompute": {"recompute": True},
    "accumulate 2": {"accumulate": 2},
    "recompute, accumulate 2": {"recompute": True, "accumulate": 2},
    "recompute, accumulate 4": {"recompute": True, "accumulate": 4},
    "channels_last": {"channels_last": True},
}


def table(name: str, rounds: int, batch: int | None, device: torch.device) -> None:
    base = settings_of(name, **({"batch": batch} if batch else {}))
    crop = base.data.crop
    runs, rows = {}, {}
    for label, changes in OPTIONS.items():
        settings = base.model_copy(update=changes)
        model, game = build(settings, device)
        if settings.batch % settings.accumulate or (settings.accumulate > 1 and batch_statistics(model)):
            continue

        def step(model: Any = model, game: Any = game, parts: int = settings.accumulate) -> None:
            torch.manual_seed(0)
            with game.autocast():
                in_parts(model.adversarial, itertools.repeat(pictures(base.batch, crop, device)), game, parts)

        runs[label] = step
        step()
        step()
        with Peak(device) as peak:
            step()
        began = time.perf_counter()
        found = estimate(settings, device, lambda s: build(s, device), lambda n: pictures(n, crop, device))
        rows[label] = (peak, found, time.perf_counter() - began)
    times = interleaved(runs, rounds, device)
    plain = rows["plain"][0]
    held = rows["plain"][1].held
    kept = held["weights"] + held["optimisers"]
    print(f"\n{name}, batch {base.batch}, {crop} px: weights and optimisers {told(kept)}")
    print(f"{'':26}{'all':>10}{'ratio':>7}{'step':>10}{'ratio':>7}{'time':>7}{'estimate':>10}{'/ came':>8}{'took':>8}")
    for label, (peak, found, took) in rows.items():
        whole, of_plain = peak.before + peak.bytes, plain.before + plain.bytes
        expected = found.bytes - found.held["history"]  # which is not full yet
        print(f"{label:26}{told(whole):>10}{whole / of_plain:7.2f}{told(peak.bytes):>10}"
              f"{peak.bytes / plain.bytes:7.2f}{ratio(times[label], times['plain']):7.2f}"
              f"{told(expected):>10}{expected / whole:8.3f}{took:6.1f} s")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["cyclegan", "pix2pix"], choices=["cyclegan", "pix2pix"])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--batch", type=int, help="default: the recipe's, 4 for cyclegan and 16 for pix2pix")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    for name in options.models:
        table(name, options.rounds, options.batch, device)
    print(f"\naim: at most {AIM:.2f} of the plain step\n{machine(device)}")


if __name__ == "__main__":
    main()
