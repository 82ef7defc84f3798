"""CartoonGAN beside itself without what the paper adds: blurred edges, the adversarial term, the content term.

    python benchmarks/proofs/cartoongan.py [--steps 1000] [--seed 0] [--folder FOLDER]        about 11 min of one core

The recipe `cartoongan_photos`, from the photographs of the data set clothing (CC0; `i2i data fetch clothing`) to
cartoons: the embedded line drawings laid over their coloured renders (MIT), which gives clear black outlines around
shaded colours. Scores are of photographs and cartoons that no run has seen:

    (a) edges     share of cartoons that D finds more real than the same with blurred edges            at least .90
    (b) cartoon   share of translations that a judge takes for cartoons, whom only real photographs
                  and real cartoons have taught                                                        at least .50
    (c) content   distance of a translation's features to its photograph's, over that of two
                  photographs                                                                          at most .67

The judge sees patches of PATCH pixels, of any contrast, shifted in their colours and with noise, so that neither what a
picture shows, nor contrast, nor a white that no generator hits gives it away. The system must pass all three. Without
blurred edges it must fail (a), with the content term alone (b), and without the content term (c): else the proof ends
with exit code 1. Results are written to runs/proofs/cartoongan.json, grids beside them; runs below runs/proofs go on
where they were stopped.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from registered import RUNS, answered, trained
from torch import Tensor, nn
from torch.nn import functional as F

from i2i import images
from i2i.data import fixed, root
from i2i.data.edges import softened
from i2i.engine.pictures import grid
from i2i.metrics.content import content

RECIPE = "cartoongan_photos"
PHOTOS = {"train": 1000, "test": 200}
EDGES, CARTOON, CONTENT = 0.9, 0.5, 0.67
PATCH, NOISE, LEARNT, SHOWN = 32, 0.1, 600, 400  # pixels; a standard deviation; steps of the judge; pictures of a side


def overrides(steps: int) -> dict[str, list[str]]:
    """What each run changes of the recipe; the first is the system itself."""
    first = min(150, steps // 2)

    def phases(first: int) -> str:
        """The schedule with so many steps in its first phase."""
        second = f"{{phase: adversarial, steps: {steps - first}, lr: flat-then-linear}}" if first < steps else ""
        return f"schedule=[{f'{{phase: initialisation, steps: {first}}},' if first else ''} {second}]"

    return {
        "CartoonGAN": [phases(first)],
        "no blurred edges": [phases(first), "weights.edges=0"],
        "content alone": [phases(steps)],
        "no content": [phases(0), "weights.content=0"],
    }


MUST_FAIL = {"no blurred edges": "edges", "content alone": "cartoon", "no content": "content"}


def folder_of(out: Path) -> Path:
    """trainA, testA: links to photographs, spread over the classes; trainB, testB: the cartoons."""
    photographs, drawings = root("clothing"), root("fluent_line2d3d")
    for split, count in PHOTOS.items():
        for side in "AB":
            (out / f"{split}{side}").mkdir(parents=True, exist_ok=True)
        files = sorted((photographs / split).rglob("*.jpg"))
        for path in (files[i * len(files) // min(count, len(files))] for i in range(min(count, len(files)))):
            link = out / f"{split}A" / path.name
            if not link.exists():
                os.symlink(path.resolve(), link)
        for line in sorted((drawings / f"{split}A").iterdir()):
            cartoon = out / f"{split}B" / line.name
            if not cartoon.exists():
                over, under = (images.read(path, 3) for path in (line, drawings / f"{split}B" / line.name))
                images.write(cartoon, np.minimum(over, under))
    return out


def taught(photos: Tensor, cartoons: Tensor, seed: int) -> nn.Module:
    """n 3 h w → n logits of being a cartoon, the mean over places; taught by patches of both."""
    torch.manual_seed(seed)
    judge = nn.Sequential(
        nn.Conv2d(3, 32, 5, stride=2), nn.ReLU(), nn.Conv2d(32, 64, 5, stride=2), nn.ReLU(),
        nn.Conv2d(64, 128, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 1), nn.Flatten(0),
    )  # fmt: skip
    optimiser = torch.optim.Adam(judge.parameters(), lr=1e-3)
    for _ in range(LEARNT):
        parts = []
        for side in (photos, cartoons):
            top, left = (int(torch.randint(side.shape[-1] - PATCH + 1, ())) for _ in range(2))
            some = side[torch.randint(len(side), (32,)), :, top : top + PATCH, left : left + PATCH]
            contrast, shift = 0.5 + 2 * torch.rand(32, 1, 1, 1), 0.4 * torch.rand(32, 3, 1, 1) - 0.2
            parts.append((some * contrast + shift).clamp(-1, 1) + NOISE * torch.randn_like(some))
        optimiser.zero_grad()
        wanted = torch.cat([torch.zeros(32), torch.ones(32)])
        F.binary_cross_entropy_with_logits(judge(torch.cat(parts)), wanted).backward()
        optimiser.step()
    return judge.eval().requires_grad_(False)


def share(judge: nn.Module, pictures: Tensor) -> float:
    """Of the pictures, how many the judge takes for cartoons, with the noise that it knows."""
    noise = NOISE * torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0))
    return (answered(judge, pictures + noise) > 0).float().mean().item()


def scores(model: Any, fake: Tensor, photos: Tensor, cartoons: Tensor, judge: nn.Module) -> dict[str, float]:
    blurred = softened(cartoons, model.brush)
    clear, soft = (answered(lambda x: model.judge(x).mean((1, 2, 3)), x) for x in (cartoons, blurred))
    wanted, got = (answered(content("efflite0"), x) for x in (photos, fake))
    return {
        "edges": (clear > soft).float().mean().item(),
        "cartoon": share(judge, fake),
        "content": ((got - wanted).abs().mean() / (wanted.roll(1, 0) - wanted).abs().mean()).item(),
    }


def passes(row: dict[str, float]) -> dict[str, bool]:
    return {"edges": row["edges"] >= EDGES, "cartoon": row["cartoon"] >= CARTOON, "content": row["content"] <= CONTENT}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000, help="of each run, 150 of them in the first phase")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=RUNS / "photo2cartoon", help="where the pictures are put")
    parser.add_argument("--only", nargs="+", help="the runs to play, by name; then nothing is proven")
    parser.add_argument("--set", nargs="+", default=[], help="changes of the recipe, of all runs")
    options = parser.parse_args()
    folder = folder_of(options.folder)

    found: dict[str, dict[str, float]] = {}
    judge, photos, cartoons = None, None, None
    for label, changes in overrides(options.steps).items():
        if options.only and label not in options.only:
            continue
        session = trained(RECIPE, label, [f"data.root={folder}", *changes, *options.set], options.steps, options.seed)
        data, model, product = session.settings.data, session.model.eval(), session.product
        if judge is None:
            photos, cartoons = fixed(data, "test", PHOTOS["test"])
            judge = taught(*fixed(data, "train", SHOWN), options.seed)
            print(f"taken for cartoons: photographs {share(judge, photos):.3f}, cartoons {share(judge, cartoons):.3f}")
        fake = answered(product["a2b"], photos)
        found[label] = scores(model, fake, photos, cartoons, judge)
        print(f"{label:18}", *(f"{name} {found[label][name]:.3f} {'ok' if ok else 'no'}  "
                               for name, ok in passes(found[label]).items()), flush=True)  # fmt: skip
        some = slice(0, None, 25)
        sheet = grid(model.show((photos[some], cartoons[some]), product))
        sheet.save(RUNS / f"cartoongan {label}.png".replace(" ", "-"))
    if options.only:
        return 0
    good = {"CartoonGAN": all(passes(found["CartoonGAN"]).values())}
    good |= {f"{label} fails": not passes(found[label])[name] for label, name in MUST_FAIL.items()}
    result = {"steps": options.steps, "seed": options.seed, "scores": found, "passed": good}
    (RUNS / "cartoongan.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print("PASS" if all(good.values()) else f"FAIL: {', '.join(name for name, ok in good.items() if not ok)}")
    return 0 if all(good.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
