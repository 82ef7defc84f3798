"""What the engine costs: a CycleGAN step through `Game` against the same networks and losses in a bare loop.

    python benchmarks/engine_overhead.py [pairs]

64 px, width 32, 6 blocks, batch 4, on one thread. The two kinds of step are interleaved in one process, each pair in
an order of its own, so that a busy machine slows both alike; the ratio of the medians is printed. Above 1.10 is a bug.
"""

import itertools
import os
import sys
import time
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor

from i2i import recipe
from i2i.engine.game import Game
from i2i.losses import l1
from i2i.models import MODELS

LIMIT = 1.10
RECIPE = {
    "model": "cyclegan",
    "data": {"layout": "unpaired", "root": ".", "crop": 64},
    "generator": {"kind": "resnet", "blocks": 6, "width": 32},
    "discriminator": {"kind": "patch", "layers": 3, "width": 32},
    "schedule": [{"phase": "adversarial", "steps": 1}],
}


class Bare:
    """The step as one writes it without an engine: requires_grad set by hand, detach, zero_grad, backward, step."""

    def __init__(self, model) -> None:
        self.model = model
        self.judges = [*model.judge_a.parameters(), *model.judge_b.parameters()]
        generators = [*model.ab.parameters(), *model.ba.parameters()]
        self.g = torch.optim.Adam(generators, lr=2e-4, betas=(0.5, 0.999), foreach=True)
        self.d = torch.optim.Adam(self.judges, lr=2e-4, betas=(0.5, 0.999), foreach=True)

    def step(self, a: Tensor, b: Tensor) -> None:
        m, w = self.model, self.model.weights
        for p in self.judges:
            p.requires_grad_(False)
        fake_b, fake_a = m.ab(a), m.ba(b)
        loss = (m.judge_b(fake_b) - 1).square().mean() + (m.judge_a(fake_a) - 1).square().mean()
        loss = loss + w.cycle * (l1(m.ba(fake_b), a) + l1(m.ab(fake_a), b))
        loss = loss + w.identity * (l1(m.ba(a), a) + l1(m.ab(b), b))
        self.g.zero_grad()
        loss.backward()
        self.g.step()
        for p in self.judges:
            p.requires_grad_(True)
        old_a, old_b = m.past_a.mix(fake_a), m.past_b.mix(fake_b)
        loss = ((m.judge_a(a) - 1).square().mean() + m.judge_a(old_a).square().mean()) / 2
        loss = loss + ((m.judge_b(b) - 1).square().mean() + m.judge_b(old_b).square().mean()) / 2
        self.d.zero_grad()
        loss.backward()
        self.d.step()


def measure(pairs: int) -> tuple[float, float]:
    """Median seconds of a step: with the engine, and bare."""
    settings = recipe.build(RECIPE, "the benchmark")
    models = []
    for _ in range(2):
        torch.manual_seed(0)
        models.append(MODELS[type(settings)](settings))
    ours, game, bare = models[0], Game(models[0].players(settings)), Bare(models[1])
    a, b = torch.rand(2, 4, 3, 64, 64) * 2 - 1
    steps = {
        "engine": lambda: ours.adversarial(itertools.repeat((a, b)), game),
        "bare": lambda: bare.step(a, b),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for pair in range(pairs + 2):
        for name in sorted(steps, reverse=pair % 2 == 0):
            torch.manual_seed(pair)  # the same draws from the history
            began = time.perf_counter()
            steps[name]()
            if pair >= 2:  # the first two warm up
                seconds[name].append(time.perf_counter() - began)
    for (key, x), y in zip(ours.named_parameters(), bare.model.parameters(), strict=True):
        assert (x - y).abs().max() < 1e-3, f"the two sides have parted at {key}: they did not do the same work"
    return median(seconds["engine"]), median(seconds["bare"])


if __name__ == "__main__":
    torch.set_num_threads(1)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    engine, bare = measure(count)
    print(f"{count} pairs: engine {engine:.3f} s, bare {bare:.3f} s a step, ratio {engine / bare:.3f} (limit {LIMIT})")
    sys.exit(engine / bare > LIMIT)
