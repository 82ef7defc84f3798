"""DTN beside itself without its terms, by the paper's own measure: are translated digits read as what they are?

    python benchmarks/proofs/dtn.py [--steps 400] [--seed 0]        about 3 min of one core

The recipe `dtn_digits` with its pictures in memory. A judge that has only ever seen the target's own pictures, plain
digits, reads the translations of 397 digits over photographs that no run has seen (Taigman et al. 2016, section 5.1 and
table 1, there from SVHN to MNIST). All runs share one encoder, trained as the recipe says, and take the same number of
steps after that.

The system passes when the judge reads at least READ of its translations rightly, and more than of the photographs
themselves by GAIN. Each of L_CONST and L_TID must carry that much alone, so that neither can be broken unseen; without
both, or with an encoder that was never trained, it must be below READ, and LOST below the system. (In the paper's table
the loss of L_CONST alone costs 16 of 91 points. Here it costs none: f reads plain digits as well as photographs, "f of
plain digits", so what g learns from their codes by L_TID holds for those of the photographs.)
Exit code 1 otherwise. Results are written to runs/proofs/dtn.json, a sample grid beside them.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i import recipe
from i2i.cost import built
from i2i.data import in_order, open_split, root
from i2i.engine.loop import play
from i2i.engine.pictures import grid
from i2i.paths import shared

OUT = Path("runs/proofs/dtn.json")
READ = 0.75  # of the translations, rightly
GAIN = 0.25  # over the photographs
LOST = 0.25  # at least, by those that must fail
LEARNT = 600  # steps of the judge
CPU = torch.device("cpu")
CONTROLS: dict[str, dict[str, float]] = {
    "DTN": {},
    "no L_TID": {"identity": 0.0},
    "no L_CONST": {"constancy": 0.0},
    "no L_CONST, no L_TID": {"constancy": 0.0, "identity": 0.0},
    "encoder not trained": {},
}
MUST_FAIL = ("no L_CONST, no L_TID", "encoder not trained")


def pictures(split: str) -> tuple[Tensor, Tensor, Tensor]:
    """All of a split: side a, n 3 h w, side b, m 1 h w, and the classes of a, n."""
    data: Any = recipe.load("dtn_digits").data
    a, b, y = zip(*in_order(data, split, 200), strict=True)
    return torch.cat(a), torch.cat(b), torch.cat(y)


def classes_of_b() -> Tensor:
    """What the plain training digits are: their names are their numbers in the array of all digits."""
    data: Any = recipe.load("dtn_digits").data
    root(data.dataset)
    with np.load(shared("datasets") / "digits" / "digits_8.npz", allow_pickle=False) as arrays:
        labels = arrays["train_labels"]
    return torch.tensor([int(labels[int(path.stem)]) for path in open_split(data, "train").files[1]])  # type: ignore[union-attr]


def judge_of(x: Tensor, y: Tensor, seed: int) -> nn.Module:
    """A classifier of plain digits, shifted by up to a pixel while it learns."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(24, 48, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(48 * 16, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(LEARNT):
        i = torch.randint(len(x), (64,))
        down, right = torch.randint(-1, 2, (2,)).tolist()
        optimiser.zero_grad()
        F.cross_entropy(net(x[i].roll((down, right), (2, 3))), y[i]).backward()
        optimiser.step()
    return net.eval().requires_grad_(False)


def batches(a: Tensor, b: Tensor, y: Tensor, batch: int, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    draw = torch.Generator().manual_seed(seed)
    while True:
        i, j = (torch.randint(len(side), (batch,), generator=draw) for side in (a, b))
        yield a[i], b[j], y[i]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400, help="of each run's second phase")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began, seed = time.process_time(), options.seed
    a, b, y = pictures("train")
    test_a, test_b, known = pictures("test")
    judge = judge_of(b, classes_of_b(), seed)

    def read(x: Tensor) -> float:
        return (judge(x).argmax(1) == known).float().mean().item()

    told: Any = recipe.load("dtn_digits", [f"seed={seed}"])
    first, last = told.schedule
    last = last.model_copy(update={"steps": options.steps})

    def fresh() -> tuple[Any, Any]:
        torch.manual_seed(seed)
        return built(told, CPU)

    model, game = fresh()
    untrained = {name: value.clone() for name, value in model.state_dict().items()}
    play(model, game, [first], batches(a, b, y, told.batch, seed), epoch_length=1, seed=seed)
    encoded = {name: value.clone() for name, value in model.state_dict().items()}
    f = model.translator.encoder.eval()
    with torch.inference_mode():
        own, plain = (
            (model.classifier(f(x).mean((2, 3))).argmax(1) == known).float().mean().item()
            for x in (test_a, model.seen(test_b))
        )
    rows = {"plain digits": read(test_b), "photographs, in grey": read(test_a.mean(1, keepdim=True))}
    rows |= {"f itself": own, "f of plain digits": plain}
    for name, value in rows.items():
        print(f"{name:24}{value:6.3f}", flush=True)
    for name, without in CONTROLS.items():
        model, game = fresh()
        model.load_state_dict(untrained if name == "encoder not trained" else encoded)
        model.weights = told.weights.model_copy(update=without)
        play(model, game, [last], batches(a, b, y, told.batch, seed + 1), epoch_length=1, seed=seed + 1)
        product = {"a2b": model.product()["a2b"].eval()}
        with torch.inference_mode():
            rows[name] = read(product["a2b"](test_a))
            if name == "DTN":
                some = slice(0, None, 40)  # of every class, as they lie in the order of their folders
                OUT.parent.mkdir(parents=True, exist_ok=True)
                grid(model.show((test_a[some], test_b[some]), product)).save(OUT.with_suffix(".png"))
        print(f"{name:24}{rows[name]:6.3f}", flush=True)

    wanted = max(READ, rows["photographs, in grey"] + GAIN)
    verdicts = {name: rows[name] >= wanted for name in CONTROLS if name not in MUST_FAIL}
    verdicts |= {f"{name} fails": rows[name] < READ and rows[name] <= rows["DTN"] - LOST for name in MUST_FAIL}
    print("; ".join(f"{name}: {'yes' if good else 'NO'}" for name, good in verdicts.items()))
    right = all(verdicts.values())
    seconds = round(time.process_time() - began)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({"steps": options.steps, "seed": seed, "cpu_seconds": seconds, "thresholds": {
        "read": READ, "over the photographs": GAIN, "lost by controls": LOST}, "read rightly": rows, "pass": right},
        indent=1) + "\n", "utf-8")  # fmt: skip
    print("PASS" if right else "FAIL", f"({seconds} s of processor time)")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
