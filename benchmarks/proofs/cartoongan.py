"""CartoonGAN beside itself without what the paper adds: blurred edges, the adversarial term, the content term.

    python benchmarks/proofs/cartoongan.py [--steps 400] [--seed 0] [--folder FOLDER]

The recipe `cartoongan_photos`, from the photographs of the data set clothing (CC0; `i2i data fetch clothing`) to the
embedded colour drawings (MIT). Scores are of photographs and drawings that no run has seen:

    (a) edges     share of drawings that D finds more real than the same with blurred edges       at least .90
    (b) cartoon   how far the concentration of edges (the share of a picture's gradient energy that the 5 % of pixels
                  with the most have) has gone from that of photographs to that of drawings       at least .50
    (c) content   distance of a translation's features to its photograph's, over that of two
                  photographs                                                                     at most .50

The system must pass all three. Without blurred edges it must fail (a), with the content term alone (b), and without the
content term (c): else the proof ends with exit code 1. Results are written to runs/proofs/cartoongan.json.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from i2i import recipe
from i2i.cost import built
from i2i.data import Batches, fixed, root
from i2i.data.edges import softened
from i2i.engine.loop import play
from i2i.metrics.content import content

RUNS = Path("runs/proofs")
RECIPE, CPU = "cartoongan_photos", torch.device("cpu")
PHOTOS = {"train": 1000, "test": 200}
STRONGEST = 0.05  # of a picture's pixels, those with the most gradient energy


def overrides(steps: int) -> dict[str, list[str]]:
    """What each run changes of the recipe; the first is the system itself."""
    first = max(1, steps // 4)
    phases = f"schedule=[{{phase: initialisation, steps: {first}}}, {{phase: adversarial, steps: {steps - first}}}]"
    return {
        "CartoonGAN": [phases],
        "no blurred edges": [phases, "weights.edges=0"],
        "content alone": [f"schedule=[{{phase: initialisation, steps: {steps}}}]"],
        "no content": [f"schedule=[{{phase: adversarial, steps: {steps}}}]", "weights.content=0"],
    }


MUST_FAIL = {"no blurred edges": "edges", "content alone": "cartoon", "no content": "content"}


def folder_of(out: Path) -> Path:
    """trainA, testA: links to photographs, spread over the classes; trainB, testB: the colour drawings."""
    photographs, drawings = root("clothing"), root("fluent_line2d3d")
    for split, count in PHOTOS.items():
        files = sorted((photographs / split).rglob("*.jpg"))
        chosen = [files[i * len(files) // min(count, len(files))] for i in range(min(count, len(files)))]
        for side, paths in (("A", chosen), ("B", sorted((drawings / f"{split}B").iterdir()))):
            (out / f"{split}{side}").mkdir(parents=True, exist_ok=True)
            for path in paths:
                link = out / f"{split}{side}" / path.name
                if not link.exists():
                    os.symlink(path.resolve(), link)
    return out


def concentration(pictures: Tensor) -> Tensor:  # n c h w
    """n shares of the gradient energy that the STRONGEST pixels of each picture have."""
    grey = pictures.mean(1)
    across, down = grey[:, 1:-1, 2:] - grey[:, 1:-1, :-2], grey[:, 2:, 1:-1] - grey[:, :-2, 1:-1]
    energy = (across.square() + down.square()).flatten(1)
    most = energy.topk(int(STRONGEST * energy.shape[1]), dim=1).values.sum(1)
    return most / energy.sum(1).clamp(min=1e-9)


@torch.no_grad()
def scores(model: Any, photos: Tensor, cartoons: Tensor) -> dict[str, float]:
    model.eval()
    fake = torch.cat([model.generator(part) for part in photos.split(16)])
    real, blurred = (
        torch.cat([model.judge(part).mean((1, 2, 3)) for part in pictures.split(16)])
        for pictures in (cartoons, softened(cartoons, model.brush))
    )
    drawn, own, made = (concentration(pictures).mean() for pictures in (cartoons, photos, fake))
    see = content("efflite0")
    wanted = see(photos)
    kept, other = (see(fake) - wanted).abs().mean(), (wanted.roll(1, 0) - wanted).abs().mean()
    return {
        "edges": (real > blurred).float().mean().item(),
        "cartoon": ((made - own) / (drawn - own)).item(),
        "content": (kept / other).item(),
    }


def passes(row: dict[str, float]) -> dict[str, bool]:
    return {"edges": row["edges"] >= 0.9, "cartoon": row["cartoon"] >= 0.5, "content": row["content"] <= 0.5}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400, help="of each run, a quarter of them in the first phase")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=RUNS / "photo2cartoon", help="where the pictures are put")
    told = parser.parse_args()
    folder = folder_of(told.folder)

    found, photos, cartoons = {}, None, None
    for label, changes in overrides(told.steps).items():
        settings: Any = recipe.load(RECIPE, [f"data.root={folder}", f"seed={told.seed}", *changes])
        if photos is None:
            photos, cartoons = fixed(settings.data, "test", PHOTOS["test"])
        began = time.process_time()
        torch.manual_seed(settings.seed)
        model, game = built(settings, CPU)
        batches = Batches(settings.data, "train", settings.batch, settings.seed)
        play(model, game, settings.schedule, batches, epoch_length=batches.epoch_length, seed=settings.seed)
        batches.close()
        found[label] = scores(model, photos, cartoons)
        verdict = " ".join(f"{name} {found[label][name]:.3f} {'ok' if ok else 'no'}  "
                           for name, ok in passes(found[label]).items())  # fmt: skip
        print(f"{label:18} {verdict} {time.process_time() - began:5.0f} s", flush=True)

    good = {"CartoonGAN": all(passes(found["CartoonGAN"]).values())}
    good |= {f"{label} fails": not passes(found[label])[name] for label, name in MUST_FAIL.items()}
    RUNS.mkdir(parents=True, exist_ok=True)
    result = {"steps": told.steps, "seed": told.seed, "scores": found, "passed": good}
    (RUNS / "cartoongan.json").write_text(json.dumps(result, indent=2), "utf-8")
    print("PASS" if all(good.values()) else f"FAIL: {', '.join(name for name, ok in good.items() if not ok)}")
    return 0 if all(good.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
