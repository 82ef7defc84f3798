"""What the switches of every model do to a game, each beside the same game without it.

    python benchmarks/proofs/switches.py [--only r1,wgan,spectral,ada]    about 3 min of one core

r1          The Dirac-GAN (Mescheder et al. 2018, section 2): real is 0, G draws θ, and D(x) = ψ x, both from 1 by
            simultaneous gradient steps of .1. Passes: with `penalty: {kind: r1, weight: 1}` they come within NEAR of
            the equilibrium in 500 steps. Must fail: without it they circle around it.
wgan        Eight Gaussians, 1000 steps of a WGAN with 3 critic steps each (Arjovsky et al. 2017). The critic's slope is
            ‖∇f‖ between real and made points, which must be 1 for its value to be a distance. Passes: with
            `penalty: {kind: gradient, weight: 1}` its mean is within SLOPE of 1 and 7 of 8 modes are found, median of 3
            seeds. Must fail: without a penalty.
spectral    The largest ‖∇D‖, of the mean over its map, of a PatchGAN that learns 150 steps long to tell two fixed sets
            of noise apart. Passes: with `spectral: true`, which divides each layer's matrix by its largest singular
            value, it is STEEP at most. Must fail: without.
ada         A discriminator that shall tell 600 digits from 800 others: nothing tells them apart, so it can only learn
            them by heart. Passes: `ada`, whose target is .6, holds E sign D(real) below HEART. Must fail: without.

Exit code 1 if a switch fails or a control passes. Results are written to runs/proofs/switches.json.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from parts import Found, proven
from torch import Tensor, nn

from i2i import recipe
from i2i.data import MixtureData, centres, in_order
from i2i.data.gaussians import points
from i2i.engine.adversarial_loss import AdversarialLoss, AdversarialSettings
from i2i.engine.game import Game, Player
from i2i.nets import MLP, DCGANDiscriminatorSpec, PatchGANSpec, initialise

OUT = Path("runs/proofs/switches.json")
NEAR = 0.01
SLOPE, MODES = 0.25, 7
STEEP = 2.0
HEART, FEW, STEPS = 0.7, 600, 1000
RING = MixtureData(layout="mixture")


def loss(**switches: Any) -> AdversarialLoss:
    class Recipe(AdversarialSettings):
        model: str = "proof"

    tree = {"data": {"layout": "mixture"}, "schedule": [{"phase": "proof", "steps": 1}], **switches}
    return AdversarialLoss(Recipe.model_validate(tree))


class Line(nn.Module):
    """D(x) = ψ x."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.slope * x


def r1() -> Found:
    rows = {}
    for name, switches in (("with R1", {"penalty": {"kind": "r1", "weight": 1}}), ("without", {})):
        terms, judge, place = loss(**switches), Line(), nn.Parameter(torch.ones(1, 1))
        game = Game({"d": Player(torch.optim.SGD(judge.parameters(), 0.1)), "g": Player(torch.optim.SGD([place], 0.1))})
        real = torch.zeros(1, 1)
        for _ in range(500):
            with game.simultaneously():
                with game.turn("d") as turn:
                    turn.minimise(**terms.discriminator(judge, real, place))
                with game.turn("g") as turn:
                    turn.minimise(**terms.generator(judge, place, real))
        rows[name] = torch.hypot(judge.slope, place.squeeze()).item()
        print(f"r1         {name:16}distance from the equilibrium {rows[name]:.4g}", flush=True)
    return rows, rows["with R1"] < NEAR <= rows["without"]


def ring(seed: int, **switches: Any) -> tuple[float, int]:
    """Mean slope of the critic between real and made points, and the modes with 2 % of the samples within 3 std."""
    torch.manual_seed(seed)
    terms = loss(loss="wasserstein", **switches)
    g, d = (initialise(MLP(inputs, outputs, 128, 2), "kaiming") for inputs, outputs in ((8, 2), (2, 1)))
    game = Game({name: Player(torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.5, 0.9), fused=True))
                 for name, net in (("g", g), ("d", d))})  # fmt: skip
    draw = (points(RING, "train", 128, seed, i) for i in range(10**6))
    for _ in range(1000):
        for _ in range(3):
            with game.turn("d") as turn:
                turn.minimise(**terms.discriminator(d, next(draw), g(torch.randn(128, 8))))
        with game.turn("g") as turn:
            turn.minimise(**terms.generator(d, g(torch.randn(128, 8)), next(draw)))
    with torch.no_grad():
        made = g(torch.randn(2000, 8))
        away, mode = torch.cdist(made, centres(RING)).min(1)
    between = torch.lerp(next(draw), made[:128], torch.rand(128, 1)).requires_grad_()
    (slope,) = torch.autograd.grad(d(between).sum(), between)
    found = mode[away < 3 * RING.std].bincount(minlength=RING.modes) > 0.02 * 2000
    return slope.norm(dim=1).mean().item(), int(found.sum())


def wgan() -> Found:
    rows: dict[str, Any] = {}
    right = {}
    for name, switches in (("with WGAN-GP", {"penalty": {"kind": "gradient", "weight": 1}}), ("without", {})):
        runs = [ring(seed, **switches) for seed in range(3)]
        slope, modes = median(run[0] for run in runs), median(run[1] for run in runs)
        rows[name] = {"slope": slope, "modes": [run[1] for run in runs]}
        right[name] = abs(slope - 1) < SLOPE and modes >= MODES
        print(f"wgan       {name:16}slope {slope:.3g}, modes {rows[name]['modes']}", flush=True)
    return rows, right["with WGAN-GP"] and not right["without"]


def steepest(spectral: bool) -> float:
    torch.manual_seed(0)
    judge = PatchGANSpec(layers=2, width=16, norm="none", init="kaiming", spectral=spectral).build(1)
    real, fake = torch.rand(2, 32, 1, 32, 32) * 2 - 1
    terms, game = loss(), Game({"d": Player(torch.optim.Adam(judge.parameters(), lr=2e-3, fused=True))})
    for _ in range(150):
        with game.turn("d") as turn:
            turn.minimise(**terms.discriminator(judge, real, fake))
    x = torch.cat([real, fake]).requires_grad_()
    (slope,) = torch.autograd.grad(judge(x).mean((1, 2, 3)).sum(), x)
    return slope.flatten(1).norm(dim=1).max().item()


def spectral() -> Found:
    rows = {name: steepest(on) for name, on in (("with", True), ("without", False))}
    for name, slope in rows.items():
        print(f"spectral   {name:16}steepest {slope:.4g}", flush=True)
    return rows, rows["with"] <= STEEP < rows["without"]


def by_heart(**switches: Any) -> float:
    """E sign D on the real pictures as D sees them, over the last fifth of its steps."""
    told: Any = recipe.load("dcgan_digits")
    digits = torch.cat([pictures for pictures, _ in in_order(told.data, "train", 500)])
    real, fake = digits[:FEW], digits[FEW:]
    torch.manual_seed(0)
    judge = DCGANDiscriminatorSpec(width=32, norm="none").build(1, 16)
    terms, game = loss(**switches), Game({"d": Player(torch.optim.Adam(judge.parameters(), lr=5e-4, fused=True))})
    sure = []
    for step in range(STEPS):
        x, y = (digits[torch.randint(len(digits), (32,))] for digits in (real, fake))
        with game.turn("d") as turn:
            turn.minimise(**terms.discriminator(judge, x, y))
        if step >= STEPS * 4 / 5:
            with torch.no_grad():
                sure.append(judge(terms.seen(real)).sign().mean().item())
    return sum(sure) / len(sure)


def ada() -> Found:
    augmented = {"diffaugment": ["colour", "translation", "cutout"], "ada": {"pictures": 5000}}
    rows = {"with ADA": by_heart(**augmented), "without": by_heart()}
    for name, share in rows.items():
        print(f"ada        {name:16}E sign D(real) {share:.3f}", flush=True)
    return rows, rows["with ADA"] <= HEART < rows["without"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="r1,wgan,spectral,ada")
    options = parser.parse_args()
    parts: dict[str, Callable[[], Found]] = {"r1": r1, "wgan": wgan, "spectral": spectral, "ada": ada}
    return proven(parts, options.only.split(","), OUT)


if __name__ == "__main__":
    sys.exit(main())
