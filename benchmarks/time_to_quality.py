"""The training time until a translator is as good as the published one becomes: what a user waits for.

    python benchmarks/time_to_quality.py               the published Pix2Pix (about 20 min), and ours
    python benchmarks/time_to_quality.py --ablation    ours without each of its parts, for the same time
    python benchmarks/time_to_quality.py --help

Both train on the embedded line drawings, on one thread, and are scored about every 500 pictures on the 139 drawings
kept for validation: L1 on the scale 0 to 1, how different a picture looks from its truth (`perceptual`), and how far
the set of pictures is from the renders of the training split (`kid`); the two latter by the features of
EfficientNet-Lite0. The published one is the recipe `pix2pix_published`. Its marks are the best L1, the best perceptual
and the best KID that it ever had, and its time is that of the first of these three. Ours has to reach all three at
once. Time is the processor time of training alone, which other programs on the machine hardly change, and in brackets
the wall time. Both sides run on the same engine, so what differs is what their recipes say.
Curves are kept in `runs/time_to_quality`: a second call only prints. Delete a file there to measure it again.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from common import CPU, Stopwatch, machine, paces, stretched, train
from torch import nn

from i2i import metrics, recipe
from i2i.data import in_order
from i2i.engine.loop import Tick

RUNS = Path("runs/time_to_quality")
BASELINE, OURS = "pix2pix_published", "quickstart"
EVERY = 500  # pictures between two scores
SCORES = ("l1", "perceptual", "kid")

# Each part of our recipe, and what a plain one has in its place.
PARTS = {
    "L1 weight 50": ["weights.l1=50"],
    "no DiffAugment": ["diffaugment=[]"],
    "D of 3 layers, width 64": ["discriminator.layers=3", "discriminator.width=64"],
    "G of width 64": ["generator.width=64"],
    "G transposed": ["generator.upsample=transposed"],
    "G BatchNorm, dropout .5": ["generator.norm=batch", "generator.dropout=0.5"],
    "rates 2e-4": ["players.generator.lr=2e-4", "players.discriminator.lr=2e-4"],
    "rates fall to 0": ["schedule.0.lr=flat-then-linear"],
    "no EMA": ["ema=null"],
    "fp32": ["precision=fp32"],
    "batch 1, rates 2e-4": ["batch=1", "players.generator.lr=2e-4", "players.discriminator.lr=2e-4"],
    "no discriminator": ["weights.adversarial=0"],
}


@dataclass(frozen=True)
class Point:
    """A model on its way: what it has seen, the seconds that took, and its scores on the validation drawings."""

    pictures: int
    processor: float
    wall: float
    l1: float
    perceptual: float
    kid: float

    def reaches(self, mark: "Point") -> bool:
        return all(getattr(self, name) <= getattr(mark, name) for name in SCORES)


class Judge:
    """Scores of a network on the validation split of some paired data."""

    def __init__(self, data: Any) -> None:
        self.see = metrics.network("efflite0", CPU)
        self.held_out = list(in_order(data, "val", 16))
        self.real = torch.cat([self.see(b).pooled for _, b in in_order(data, "train", 16)])  # N d

    @torch.no_grad()
    def __call__(self, net: nn.Module) -> tuple[float, float, float]:
        training = net.training
        net.eval()
        with torch.random.fork_rng():
            torch.manual_seed(0)  # the published network has dropout at test time: the same noise at every score
            answers = [(net(a).float(), b) for a, b in self.held_out]
        net.train(training)
        seen = [(self.see(fake), self.see(real)) for fake, real in answers]
        l1 = torch.cat([metrics.l1(fake, real) for fake, real in answers])
        look = torch.cat([metrics.distance(fake.stages, real.stages) for fake, real in seen])
        return (
            l1.mean().item(),
            look.mean().item(),
            metrics.kid(torch.cat([fake.pooled for fake, _ in seen]), self.real),
        )


def curve(settings: Any, judge: Judge, every: int | None) -> list[Point]:
    """Trains, and scores the product about every so many pictures (None: only) at the end."""
    points = []

    def due(tick: Tick) -> bool:
        seen = tick.step * settings.batch
        return tick.last or bool(every and seen // every > (seen - settings.batch) // every)

    def look(tick: Tick, product: Mapping[str, nn.Module], watch: Stopwatch) -> None:
        points.append(Point(tick.step * settings.batch, watch.processor, watch.wall, *judge(product["a2b"])))

    train(settings, due, look)
    return points


def trained(name: str, settings: Any, every: int | None = None, seconds: float | None = None) -> list[Point]:
    """The curve of a run, measured unless it lies in `runs/time_to_quality`. `seconds`: of processor time, which the
    schedule is then stretched or shortened to fill."""
    file = RUNS / f"{name}.json"
    asked = {"recipe": settings.model_dump(mode="json"), "seconds": seconds}
    if file.exists():
        kept = json.loads(file.read_text("utf-8"))
        if kept["asked"] == asked:
            return [Point(**point) for point in kept["points"]]
    print(f"training {name}", file=sys.stderr, flush=True)
    if seconds is not None:
        settings = stretched(settings, max(1, round(seconds / paces([settings])[0])))
    points = curve(settings, Judge(settings.data), every)
    RUNS.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"asked": asked, "points": [asdict(point) for point in points]}), "utf-8")
    return points


def marks(points: Sequence[Point]) -> Point:
    """The best of each score, and the time of the first of them, in favour of the run whose marks they are."""
    bests = {name: best(points, name) for name in SCORES}
    first = min(bests.values(), key=lambda point: point.processor)
    return replace(first, **{name: getattr(point, name) for name, point in bests.items()})


def best(points: Sequence[Point], name: str) -> Point:
    return min(points, key=lambda point: float(getattr(point, name)))


def together(points: Sequence[Point]) -> Point:
    """The means over some seeds of one recipe."""
    first = asdict(points[0])
    return Point(**{key: type(value)(mean(getattr(p, key) for p in points)) for key, value in first.items()})


def line(label: str, point: Point, mark: Point | None = None) -> str:
    cells = [label, f"{point.pictures:,}", f"{point.processor:.0f} s ({point.wall:.0f} s)"]
    for name, places in (("l1", 4), ("perceptual", 4), ("kid", 3)):
        value: float = getattr(point, name)
        cells.append(f"**{value:.{places}f}**" if mark and value <= getattr(mark, name) else f"{value:.{places}f}")
    if mark:
        cells.append(f"1/{mark.processor / point.processor:.1f}" if point.processor < mark.processor else "")
    return "| " + " | ".join(cells) + " |"


def head(*more: str) -> str:
    cells = ["", "pictures seen", "processor (wall)", "L1", "perceptual", "KID", *more]
    return "| " + " | ".join(cells) + " |\n|" + "---|" * len(cells)


def race(seeds: Sequence[int]) -> None:
    """The published recipe against ours; bold: a mark is reached."""
    baseline = trained("published", recipe.load(BASELINE), every=EVERY)
    mark = marks(baseline)
    print(head("of its time"))
    for name in SCORES:
        print(line(f"published, best {name}", best(baseline, name), mark))
    curves = [trained(f"ours-{seed}", recipe.load(OURS, [f"seed={seed}"]), every=EVERY) for seed in seeds]
    there = [next((point for point in points if point.reaches(mark)), None) for points in curves]
    if all(there):
        print(line("ours, once all three are reached", together([point for point in there if point]), mark))
    else:
        print(f"ours does not reach all three with seed {seeds[there.index(None)]}", file=sys.stderr)
    print(line("ours, whole", together([points[-1] for points in curves]), mark))


def ablation(seeds: Sequence[int], seconds: float) -> None:
    """Our recipe without each of its parts: each on a schedule that fills the same processor time."""
    print(head())
    for label, changes in {"ours": (), **PARTS}.items():
        runs = []
        for seed in seeds:
            settings = recipe.load(OURS, [*changes, f"seed={seed}"])
            runs.append(trained(f"{seconds:g}s-{label.replace(' ', '-')}-{seed}", settings, seconds=seconds)[-1])
        print(line(label, together(runs)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ablation", action="store_true", help="ours without each of its parts")
    parser.add_argument("--seconds", type=float, default=40, help="processor time of a run of the ablation")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of our runs; a figure is their mean")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{machine(CPU)}\n")
    if options.ablation:
        ablation(options.seeds, options.seconds)
    else:
        race(options.seeds)
