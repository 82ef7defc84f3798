"""What several processes cost: on paper for GPUs, which were not measured, and measured here with two on this CPU.

    python benchmarks/distributed.py            prints both; docs/distributed.md holds the output
    python benchmarks/distributed.py --paper    only the first part, seconds

Paper: bytes that a turn's all-reduce moves, from the recipes' own networks. In a ring of N GPUs each sends and receives
2 (N - 1)/N of them (Patarasu and Yuan 2009), in 2 (N - 1) hops. Nothing of that hides behind the backward pass, since a
turn's gradients are reduced at its end; what hiding would save is told too.
"""

import argparse
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from i2i import recipe
from i2i.engine.game import Game
from i2i.engine.ranks import Ranks, join, leave
from i2i.models import MODELS

MB, GB = 1e6, 1e9


@dataclass(frozen=True)
class Link:
    """What a GPU sends and receives per second along the ring, in each direction, and what one hop costs at least."""

    name: str
    bytes_a_second: float
    hop: float  # seconds


# Assumed. NVLink: 450 GB/s in each direction on an H100, of which two thirds. Ethernet: all of one 100 Gb/s card, which
# the GPUs of a machine share, for every ring crosses it. Hops: orders of magnitude.
LINKS = (Link("NVLink, 300 GB/s", 300 * GB, 3e-6), Link("Ethernet, 12.5 GB/s", 12.5 * GB, 20e-6))
WORLDS = (8, 64, 512)
PUBLISHED = 0.40  # seconds a step of CycleGAN at 256 px, batch 1, older GPU (Park et al. 2020, CUT, table 1)
FASTER = 5  # how much faster a new GPU may be: a guess, to see what it would change
SMALL: dict[str, Any] = {
    "model": "cyclegan",
    "data": {"layout": "unpaired", "root": ".", "crop": 64},
    "generator": {"kind": "resnet", "blocks": 6, "width": 32},
    "discriminator": {"kind": "patch", "layers": 3, "width": 32},
    "schedule": [{"phase": "adversarial", "steps": 1}],
}


def ring(size: float, world: int, link: Link) -> float:
    """Seconds of a ring all-reduce of `size` bytes."""
    return 2 * (world - 1) / world * size / link.bytes_a_second + 2 * (world - 1) * link.hop


def built(name: str) -> Any:
    """A shipped recipe's model at full width, its tensors without memory."""
    settings = recipe.load(name)
    with torch.device("meta"):
        return settings, MODELS[type(settings)](settings)


def messages(name: str) -> dict[str, float]:
    """The bytes of each player's all-reduce: float32 gradients. Its losses add some bytes, no megabytes."""
    settings, model = built(name)
    return {player: 4.0 * sum(p.numel() for p in it.parameters()) for player, it in model.players(settings).items()}


def forward(net: nn.Module, channels: int) -> float:
    """Floating point operations of a forward pass of one picture of 256 × 256."""
    with FlopCounterMode(display=False) as counter:
        net.eval()(torch.empty(1, channels, 256, 256, device="meta"))
    return float(counter.get_total_flops())


def operations(name: str) -> float:
    """Of one step with one picture. A backward pass costs two forward ones, one through a frozen network."""
    _, model = built(name)
    if name.startswith("cyclegan"):
        g, d = forward(model.ab, 3), forward(model.judge_a, 3)
        return 6 * 3 * g + 2 * 2 * d + 4 * 3 * d  # two fakes, two cycles, two identities; fooling; judging
    g, d = forward(model.generator, 3), forward(model.judge, 6)
    return 3 * g + 2 * d + 2 * 3 * d


def paper() -> None:
    names = ("cyclegan_horse2zebra", "pix2pix_facades")
    for name in names:
        sizes, work = messages(name), operations(name)
        total, step = sum(sizes.values()), PUBLISHED * work / operations(names[0])
        quick = step / FASTER
        told = "published, older GPU" if name == names[0] else "CycleGAN's, by operations"
        parts = " + ".join(f"{player} {size / MB:.1f} MB" for player, size in sizes.items())
        print(f"{name}: {parts} = {total / MB:.1f} MB a step in {len(sizes)} all-reduces, float32")
        print(f"  one picture a GPU: {work / 1e12:.2f} TFLOP a step, {step:.3f} s ({told})")
        row = "  {:24} {:>5} {:>11} {:>11} {:>12} {:>11} {:>9}".format
        print(row("link", "GPUs", "all-reduce", "efficiency", f"{FASTER}× faster", "and hidden", "pictures"))
        print(row("", "", "ms a step", f"at {step:.3f} s", f"at {quick:.4f} s", "by buckets", "for 95 %"))
        for link in LINKS:
            for world in WORLDS:
                spent = sum(ring(size, world, link) for size in sizes.values())
                # All but the last of five buckets, as far as the backward passes, half of a step, are long enough.
                costs = ((step, spent), (quick, spent), (quick, max(spent / 5, spent - quick / 2)))
                shares = [f"{own / (own + cost):.3f}" for own, cost in costs]
                print(row(link.name, world, f"{1000 * spent:.2f}", *shares, math.ceil(19 * spent / quick)))
        bounds = [2 * total * 19 / own / GB for own in (step, quick)]
        print(f"  95 % are reached above {bounds[0]:.0f} GB/s along the ring, {FASTER}× faster above {bounds[1]:.0f}\n")
    past = 2 * 50 * 3 * 256 * 256 * 4
    counts = ", ".join(f"{past * world / GB:.1f} GB with {world}" for world in WORLDS)
    print(f"histories of {names[0]} in a saved state, {past / MB:.0f} MB a rank: {counts}\n")


def measured(rank: int, world: int, port: int, steps: int, batch: int, answers: Any) -> None:
    """Seconds of each step, and in it of waiting for the other rank and of the all-reduces themselves."""
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in told.items()})
    torch.set_num_threads(1)
    ranks: Ranks = join(torch.device("cpu"), 600)
    settings = recipe.build(SMALL | {"batch": batch * world}, "the benchmark")
    torch.manual_seed(0)
    model = MODELS[type(settings)](settings)
    game = Game(model.players(settings), ranks=ranks)
    data: Iterator[Any] = repeat(tuple(torch.rand(2, batch, 3, 64, 64) * 2 - 1))
    waited, moved, reduce = 0.0, 0.0, dist.all_reduce

    def timed(tensor: torch.Tensor) -> None:
        nonlocal waited, moved
        began = time.perf_counter()
        dist.barrier()  # so that waiting for a slower rank is not taken for the transfer
        met = time.perf_counter()
        reduce(tensor)
        waited, moved = waited + met - began, moved + time.perf_counter() - met

    dist.all_reduce = timed
    rows = []
    for _ in range(steps + 2):
        waited = moved = 0.0
        began, worked = time.perf_counter(), time.process_time()
        model.adversarial(data, game)
        rows.append((time.perf_counter() - began, waited, moved, time.process_time() - worked))
    if ranks.first:
        answers.put(rows[2:])  # the first two warm up
    leave()


def here(steps: int, batch: int = 4) -> None:
    context, rows = mp.get_context("spawn"), {1: [], 2: []}
    for turn, world in enumerate((1, 2, 1, 2)):  # in turns, for the machine is not ours alone
        answers = context.Queue()
        port = 29650 + turn
        processes = [
            context.Process(target=measured, args=(rank, world, port, steps // 2, batch, answers))
            for rank in range(world)
        ]
        for process in processes:
            process.start()
        rows[world] += answers.get(timeout=1200)
        for process in processes:
            process.join()
    waited, moved = (median(row[i] / row[0] for row in rows[2]) for i in (1, 2))
    settings = recipe.build(SMALL, "the benchmark")
    size = 4 * sum(p.numel() for p in MODELS[type(settings)](settings).parameters())
    load, told = os.getloadavg()[0], f"{batch} pictures a process; {size / MB:.1f} MB are reduced in a step"
    print(f"measured, {os.cpu_count()} shared CPU cores under a load of {load:.1f}; gloo, medians of {steps} steps")
    print(f"  CycleGAN, 64 px, width 32, 6 blocks, one thread and {told}")
    for world in (1, 2):
        seconds, cpu = (median(row[i] for row in rows[world]) for i in (0, 3))
        print(f"  processes: {world}   {seconds:.2f} s a step, {cpu:.2f} s of them on the CPU")
    print(f"  of a step of the two: {moved:.1%} all-reduce, {waited:.1%} waiting for the slower one")


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    words.add_argument("--paper", action="store_true", help="leave out what takes time")
    words.add_argument("--steps", type=int, default=20)
    given = words.parse_args()
    paper()
    if not given.paper:
        here(given.steps)
