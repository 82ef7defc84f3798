"""SimGAN beside what must fail: refined eyes have to look like the camera's and to keep the gaze that is known of them.

    python benchmarks/proofs/simgan.py [--steps 600] [--seed 0]        about 3 min of one core

The recipe `simgan_eyes` on the set `eyes`, with all of its 1200 clean and 1200 camera pictures in memory. Of each
answer, the clean pictures as they are among them, three things are measured on eyes that no run has seen:

    error     degrees, of a gaze estimator that learns from this answer's training pictures and their known gaze, on the
              camera's pictures (the use that Shrivastava et al. 2017 make of it: table 3), and its share within 7°
    moved     pixels from where the iris was drawn to where it is seen in the answer, by a network that has learnt from
              both sides to point at it; the rows of clean and camera pictures say how much of that is its own error
    told      accuracy of a network that learns to tell this answer from the camera's pictures; .5 cannot. It is
              reported and not asked for: grain cannot be made out of a flat picture, so it stays near 1

The camera's gaze is used for that network and to score, never to train what is scored. SimGAN passes when its error is
at most GAIN of the raw pictures' and below that of matched means and deviations, and the iris moves by less than MOVED.
The controls must fail: without λ the iris moves, or the estimator gains less; with a λ of 100 nothing is refined.
Exit code 1 otherwise. Results are written to runs/proofs/simgan.json.
"""

import argparse
import csv
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i import recipe
from i2i.cost import built
from i2i.data import in_order, root
from i2i.data.sets.cards import card
from i2i.data.sets.eyes import GAZE, REACH, SIZE, Eyes, iris
from i2i.engine.loop import play

OUT = Path("runs/proofs/simgan.json")
GAIN = 0.75  # of the raw pictures' error, at most
MOVED = 0.5  # pixels, on average
NEAR = 7.0  # degrees: a hit, as the paper counts (table 2)
LEARNT = 800  # steps of each estimator
POINTED = 1500  # steps of the network that sees where the iris is
CPU = torch.device("cpu")
CONTROLS = {"SimGAN": 1.0, "no regularisation": 0.0, "regularisation × 100": 100.0}  # factor on the recipe's λ

Side = tuple[Tensor, Tensor]  # n 1 h w in [-1, 1], and n 2: yaw and pitch over their reach


def sides(split: str) -> tuple[Side, Side]:
    """All of a split's clean and camera pictures, with their gaze."""
    data: Any = recipe.load("simgan_eyes").data
    with (root(data.dataset) / GAZE).open(encoding="utf-8") as file:
        rows = {row["file"]: (float(row["yaw"]), float(row["pitch"])) for row in csv.DictReader(file)}
    pictures = [torch.cat(parts) for parts in zip(*in_order(data, split, 200), strict=True)]
    found = []
    for side, x in zip("AB", pictures, strict=True):
        gaze = [rows[f"{split}{side}/{i:05}.png"] for i in range(len(x))]
        found.append((x, torch.tensor(gaze) / torch.tensor(REACH)))
    return found[0], found[1]


def refined(factor: float, a: Tensor, b: Tensor, steps: int, seed: int) -> nn.Module:
    """A refiner trained by the recipe's own phases, `steps` of them adversarial."""
    told: Any = recipe.load("simgan_eyes", [f"seed={seed}"])
    weights = told.weights.model_copy(update={"regularisation": told.weights.regularisation * factor})
    first, second, last = told.schedule
    schedule = [
        first.model_copy(update={"steps": max(1, steps // 6)}),
        second.model_copy(update={"steps": max(1, steps // 12)}),
        last.model_copy(update={"steps": steps}),
    ]
    settings = told.model_copy(update={"weights": weights})

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        draw = torch.Generator().manual_seed(seed)
        while True:
            i, j = (torch.randint(len(side), (settings.batch,), generator=draw) for side in (a, b))
            yield a[i], b[j]

    torch.manual_seed(seed)
    model, game = built(settings, CPU)
    play(model, game, schedule, batches(), epoch_length=1, seed=seed)
    net: nn.Module = model.product()["a2b"].eval().requires_grad_(False)
    return net


def network(outputs: int) -> nn.Sequential:
    """A small classifier or estimator of grey pictures of 32 × 32."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(),
        nn.Conv2d(32, 48, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(48 * 16, 64), nn.ReLU(), nn.Linear(64, outputs),
    )  # fmt: skip


def learnt(x: Tensor, y: Tensor, loss: Callable[[Tensor, Tensor], Tensor], seed: int) -> nn.Module:
    torch.manual_seed(seed)
    net = network(y.shape[1])
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    for step in range(LEARNT):
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * (1 - step / LEARNT)
        i = torch.randint(len(x), (48,))
        optimiser.zero_grad()
        loss(net(x[i]), y[i]).backward()
        optimiser.step()
    return net.eval().requires_grad_(False)


def error(net: nn.Module, x: Tensor, y: Tensor) -> tuple[float, float]:
    """Mean angle between estimated and true gaze, degrees, and the share within NEAR."""
    far = ((net(x) - y) * torch.tensor(REACH)).norm(dim=1)
    return far.mean().item(), (far < NEAR).float().mean().item()


class Pointer(nn.Module):
    """Picture → pixels to the right of its middle and below it, the mean of a map of where something is."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            nn.Conv2d(1, width, 5, 2, 2), nn.ReLU(), nn.Conv2d(width, width, 3, 1, 1), nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 2, dilation=2), nn.ReLU(), nn.Conv2d(width, width, 3, 1, 1), nn.ReLU(),
            nn.Conv2d(width, 1, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:  # n 1 s s → n 2
        scores = self.stages(x)[:, 0]
        share = scores.flatten(1).softmax(1).view_as(scores)
        at = (torch.arange(share.shape[1]) + 0.5) * SIZE / share.shape[1] - SIZE / 2
        return torch.stack([share.sum(1) @ at, share.sum(2) @ at], dim=1)


def places(name: str) -> Tensor:
    """Where the iris was drawn in each picture of a folder, n 2, pixels from the middle to the right and down."""
    made = card("eyes").make
    assert isinstance(made, Eyes)
    x, y = iris(made.shapes(name))
    return torch.from_numpy(np.concatenate([x[:, 0], y[:, 0]], axis=1)).float()


def pointer(x: Tensor, at: Tensor, seed: int) -> nn.Module:
    """Learns from pictures in any light, contrast and noise, so that it sees an iris in what is neither a nor b too."""
    torch.manual_seed(seed)
    net = Pointer()
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    for step in range(POINTED):
        for group in optimiser.param_groups:
            group["lr"] = 3e-3 * (1 - step / POINTED)
        i = torch.randint(len(x), (48,))
        gain, light, noise = (torch.rand(48, 1, 1, 1) for _ in range(3))
        seen = x[i] * (0.7 + 0.6 * gain) + 0.4 * (light - 0.5) + 0.08 * noise * torch.randn_like(x[i])
        optimiser.zero_grad()
        F.l1_loss(net(seen), at[i]).backward()
        optimiser.step()
    return net.eval().requires_grad_(False)


def moved(see: nn.Module, x: Tensor, at: Tensor) -> float:
    """Pixels between where the iris was drawn and where it is seen, on average."""
    return (see(x) - at).norm(dim=1).mean().item()


def told_apart(train: Sequence[Tensor], test: Sequence[Tensor], seed: int) -> float:
    """Accuracy on `test` of a network that has learnt from `train` which of two sets a picture is from."""
    labels = [torch.cat([torch.zeros(len(a), 1), torch.ones(len(b), 1)]) for a, b in (train, test)]
    net = learnt(torch.cat(list(train)), labels[0], F.binary_cross_entropy_with_logits, seed)
    return ((net(torch.cat(list(test))) > 0) == (labels[1] > 0.5)).float().mean().item()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=600, help="adversarial steps of each run")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began, seed = time.process_time(), options.seed
    (a, gaze_a), (b, gaze_b) = sides("train")
    (test_a, _), (test_b, known_b) = sides("test")
    see = pointer(torch.cat([a, b]), torch.cat([places("trainA"), places("trainB")]), seed)
    drawn = places("testA")  # and in testB, which shows the same eyes

    def matched(x: Tensor) -> Tensor:
        return ((x - a.mean()) / a.std() * b.std() + b.mean()).clamp(-1, 1)

    answers: dict[str, Callable[[Tensor], Tensor]] = {"raw": lambda x: x, "mean and deviation": matched}
    rows: dict[str, dict[str, float]] = {}

    def measure(name: str, answer: Callable[[Tensor], Tensor]) -> None:
        train, test = (torch.cat([answer(part) for part in x.split(100)]) for x in (a, test_a))
        degrees, near = error(learnt(train, gaze_a, F.l1_loss, seed), test_b, known_b)
        rows[name] = {
            "error": degrees, "within": near, "moved": moved(see, test, drawn),
            "told": told_apart((train, b), (test, test_b), seed),
        }  # fmt: skip
        print(f"{name:24}" + "".join(f"{key} {value:6.3f}   " for key, value in rows[name].items()), flush=True)

    for name, answer in answers.items():
        measure(name, answer)
    for name, factor in CONTROLS.items():
        measure(name, refined(factor, a, b, options.steps, seed))
    best, near = error(learnt(b, gaze_b, F.l1_loss, seed), test_b, known_b)
    rows["trained on the camera"] = own = {"error": best, "within": near, "moved": moved(see, test_b, drawn)}
    print(f"{'trained on the camera':24}" + "".join(f"{key} {value:6.3f}   " for key, value in own.items()))

    raw = rows["raw"]

    def passes(row: dict[str, float]) -> bool:
        plain = rows["mean and deviation"]["error"]
        return row["error"] <= GAIN * raw["error"] and row["error"] < plain and row["moved"] < MOVED

    verdicts = {name: passes(rows[name]) for name in CONTROLS}
    right = verdicts.pop("SimGAN") and not any(verdicts.values())
    print(f"SimGAN {'passes' if passes(rows['SimGAN']) else 'FAILS'}; " + "; ".join(
        f"{name} {'PASSES, and must not' if wrong else 'fails, as it must'}" for name, wrong in verdicts.items()
    ))  # fmt: skip
    seconds = round(time.process_time() - began)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({"steps": options.steps, "seed": seed, "cpu_seconds": seconds, "thresholds": {
        "error over raw": GAIN, "moved": MOVED}, "rows": rows, "pass": right}, indent=1) + "\n", "utf-8")  # fmt: skip
    print("PASS" if right else "FAIL", f"({seconds} s of processor time)")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
