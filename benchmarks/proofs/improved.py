"""The improved techniques for training GANs (Salimans et al. 2016), each beside itself without it.

    python benchmarks/proofs/improved.py [--only history,minibatch,labels,score]    about 6 min of one core

history     min_x max_y xy by simultaneous gradient steps of .1 from (1, 1), with historical averaging (section 3.3) of
            weight .1. Passes: 1000 steps lead to a radius below NEAR. Must fail: without it; with a weight of 1, which
            drags.
minibatch   Eight Gaussians on a ring, and a generator that moves EAGER times for each move of the discriminator, so
            that it goes where it is best liked. Modes are those with 2 % of the samples within 3 standard deviations;
            the median of 3 seeds. Passes: minibatch discrimination (3.2) finds at least MORE modes than the same
            without it.
labels      The recipe `semigan_digits` (section 5) with 2 and with 5 labels a class, for each of 5 draws of the labels,
            beside its classifier trained on the labels alone; accuracy on 397 digits that no run has seen. Passes: the
            mean gain is GAIN at least, of both. Must fail: the same whose unlabelled pictures are only those with
            labels (2 a class, 3 draws).
score       The Inception score (section 4) with a classifier of digits in Inception's place: of 1000 digits drawn by
            `dcgan_digits` after 600 steps, beside 397 real ones and what must fail, its untrained generator. Passes: at
            least SHARE of the score of the real ones.

Exit code 1 if a technique fails or a control passes. Results are written to runs/proofs/improved.json.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from parts import Found, proven
from torch import Tensor, nn
from torch.nn import functional as F

from i2i import recipe
from i2i.cost import built
from i2i.data import MixtureData, centres, in_order
from i2i.data.gaussians import points
from i2i.engine.averaging import average_history
from i2i.engine.ema import Ema
from i2i.engine.game import Game, Player
from i2i.engine.loop import play
from i2i.losses import rule, semisupervised
from i2i.metrics import inception_score
from i2i.nets import MLP, initialise

OUT = Path("runs/proofs/improved.json")
CPU = torch.device("cpu")
NEAR = 0.01  # radius after 1000 steps
EAGER, MORE, RING_STEPS = 5, 2, 800  # generator moves for each of the discriminator; modes; moves of the latter
GAIN, DRAWS = 0.03, 5
SHARE, DIGIT_STEPS, LEARNT = 0.9, 600, 600
RING = MixtureData(layout="mixture")


def history() -> Found:
    rows = {}
    for name, weight in (("weight .1", 0.1), ("without", 0.0), ("weight 1", 1.0)):
        at = {axis: torch.ones((), dtype=torch.float64, requires_grad=True) for axis in "xy"}
        players = {axis: Player(torch.optim.SGD([p], lr=0.1)) for axis, p in at.items()}
        for player in players.values() if weight else ():
            average_history(player.optimiser, weight)
        game = Game(players)
        for _ in range(1000):
            with game.simultaneously():
                for axis, sign in (("x", 1), ("y", -1)):
                    with game.turn(axis) as turn:
                        turn.minimise(pays=sign * at["x"] * at["y"])
        rows[name] = torch.stack(list(at.values())).norm().item()
        print(f"history    {name:24}radius {rows[name]:.4g}", flush=True)
    return rows, [radius < NEAR for radius in rows.values()] == [True, False, False]


def ring(kernels: int, seed: int) -> int:
    """The modes that a generator finds against a discriminator with so many kernels."""
    torch.manual_seed(seed)
    g = initialise(MLP(8, 2, depth=2, activation="relu"), "orthogonal", 1.0)
    d = initialise(MLP(2, 1, depth=2, minibatch=kernels), "orthogonal", 1.0)
    net: dict[str, nn.Module] = {"g": g, "d": d}
    game = Game({name: Player(torch.optim.Adam(each.parameters(), lr=1e-3, betas=(0.5, 0.999), fused=True))
                 for name, each in net.items()})  # fmt: skip
    terms = rule("non-saturating")
    for step in range(RING_STEPS):
        with game.turn("d") as turn:  # real and made in batches of their own
            turn.minimise(
                real=terms.real(d(points(RING, "train", 64, seed, step))), fake=terms.fake(d(g(torch.randn(64, 8))))
            )
        for _ in range(EAGER):
            with game.turn("g") as turn:
                turn.minimise(adversarial=terms.fool(d(g(torch.randn(64, 8)))))
    with torch.no_grad():
        away, mode = torch.cdist(g(torch.randn(2000, 8)), centres(RING)).min(1)
    return int((mode[away < 3 * RING.std].bincount(minlength=RING.modes) > 0.02 * 2000).sum())


def minibatch() -> Found:
    rows = {name: [ring(kernels, seed) for seed in range(3)] for name, kernels in (("with", 8), ("without", 0))}
    for name, modes in rows.items():
        print(f"minibatch  {name:24}modes {modes}", flush=True)
    return rows, median(rows["with"]) >= median(rows["without"]) + MORE


def drawn(x: Tensor, y: Tensor, batch: int, seed: int, alone: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """As `Batches` gives them: a picture with its label and one of all without, in turn; `alone`: of all with one."""
    draw = torch.Generator().manual_seed(seed)
    few, everyone = (y >= 0).nonzero().flatten(), (y < 0).nonzero().flatten()
    half = batch // 2
    while True:
        i, j = (part[torch.randint(len(part), (half,), generator=draw)] for part in (few, few if alone else everyone))
        yield torch.stack([x[i], x[j]], 1).flatten(0, 1), torch.stack([y[i], torch.full_like(i, -1)], 1).flatten()


def accuracy(how: str, labels: int, draw: int, steps: int) -> float:
    """Of the recipe's averaged classifier on the test pictures; `how`: all, the few alone, or without a generator."""
    told: Any = recipe.load("semigan_digits", [f"data.labels={labels}", f"data.split.seed={draw}", f"seed={draw}"])
    phase = told.schedule[0].model_copy(update={"steps": steps})
    (x, y), (test, known) = (
        (torch.cat(side) for side in zip(*in_order(told.data, split, 500), strict=True)) for split in ("train", "test")
    )
    torch.manual_seed(draw)
    model, game = built(told, CPU)
    average = Ema({"classifier": model.judge}, told.ema)

    def supervised(batches: Iterator[Any], game: Game) -> None:
        pictures, said = next(batches)
        with game.turn("discriminator") as turn:
            own = said >= 0
            turn.minimise(classes=semisupervised.classes(model.judge(pictures[own]), said[own]))

    if how == "labels alone":
        model.adversarial = supervised
    batches = drawn(x, y, told.batch, draw, how == "only pictures with labels")
    play(model, game, [phase], batches, epoch_length=1, seed=draw, after=(lambda _: average.update(),))
    with torch.inference_mode():
        return (average.networks["classifier"](test).argmax(1) == known).float().mean().item()


def labels(steps: int) -> Found:
    rows: dict[str, list[float]] = {}

    def measure(how: str, count: int, draws: int) -> float:
        name = f"{how}, {count} a class"
        rows[name] = [round(accuracy(how, count, draw, steps), 4) for draw in range(draws)]
        print(f"labels     {name:40}" + " ".join(f"{value:.3f}" for value in rows[name]), flush=True)
        return fmean(rows[name])

    gains = {count: measure("semigan", count, DRAWS) - measure("labels alone", count, DRAWS) for count in (2, 5)}
    measure("only pictures with labels", 2, 3)
    first = rows["labels alone, 2 a class"][:3]
    control = fmean(rows["only pictures with labels, 2 a class"]) - fmean(first)
    print(f"labels     mean gain {gains[2]:+.3f} with 2, {gains[5]:+.3f} with 5; control {control:+.3f}", flush=True)
    found = {"accuracy": rows, "gain": gains, "gain of the control": control}
    return found, min(gains.values()) >= GAIN and control < GAIN


def judge_of(x: Tensor, y: Tensor) -> nn.Module:
    """A classifier of 16 × 16 digits, shifted by up to a pixel while it learns."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(24, 48, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(48 * 16, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    for _ in range(LEARNT):
        i = torch.randint(len(x), (64,))
        down, right = torch.randint(-1, 2, (2,)).tolist()
        optimiser.zero_grad()
        F.cross_entropy(net(x[i].roll((down, right), (2, 3))), y[i]).backward()
        optimiser.step()
    return net.eval().requires_grad_(False)


def score() -> Found:
    told: Any = recipe.load("dcgan_digits")
    phase = told.schedule[0].model_copy(update={"steps": DIGIT_STEPS})
    (x, y), (test, _) = (
        (torch.cat(side) for side in zip(*in_order(told.data, split, 500), strict=True)) for split in ("train", "test")
    )
    judge = judge_of(x, y)
    torch.manual_seed(0)
    model, game = built(told, CPU)
    average = Ema(model.product(), told.ema)
    z = model.latent(told, 1000)

    def of(pictures: Tensor) -> float:
        return inception_score(judge(pictures).softmax(1), splits=1)[0]

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            i = torch.randint(len(x), (told.batch,))
            yield x[i], y[i]

    with torch.inference_mode():
        rows = {"real": of(test), "untrained": of(average.networks["generator"](*z))}
    play(model, game, [phase], batches(), epoch_length=1, seed=0, after=(lambda _: average.update(),))
    with torch.inference_mode():
        rows["dcgan_digits"] = of(average.networks["generator"](*z))
    for name, value in rows.items():
        print(f"score      {name:24}{value:.2f}", flush=True)
    least = SHARE * rows["real"]
    return rows, rows["dcgan_digits"] >= least > rows["untrained"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="history,minibatch,labels,score")
    parser.add_argument("--steps", type=int, default=1500, help="of each run with few labels")
    options = parser.parse_args()
    parts: dict[str, Callable[[], Found]] = {
        "history": history, "minibatch": minibatch, "labels": lambda: labels(options.steps), "score": score
    }  # fmt: skip
    return proven(parts, options.only.split(","), OUT)


if __name__ == "__main__":
    sys.exit(main())
