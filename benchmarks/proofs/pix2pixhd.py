"""pix2pixHD beside itself without what the paper adds: coarse first, then the whole; feature matching; right pairs.

    python benchmarks/proofs/pix2pixhd.py [--steps 600] [--seed 0]        about 6 min of one core

The recipe `pix2pixhd_map2satellite` on tiles of 64 px of the embedded Earth maps. Scores are of 111 tiles at longitudes
that no run has seen. The first three controls must have a perceptual distance to the truth that is larger by MARGIN:

    no feature matching   the adversarial term alone
    shuffled pairs        every training answer belongs to another question
    G1 alone, enlarged    as many steps as the system, all of phase `coarse`: what G2 adds
    first phase lost      the system's phases `fine` and `joint` on a G1 that has learnt nothing: what G1 brings
    no first phase        G1 and G2 together from the first step, for the system's arithmetic: a step of `coarse` costs
                          COARSE of one of `joint`, a step of `fine` costs FINE of it (counted multiplications)

The last two are told and not judged: to train G1 first is for pictures of 2048×1024, the paper measures no such
control, and of 64 px their distance is that of the system.

Exit code 1 if a control passes. Before anything is trained, the coarsest discriminator must see the whole picture, and
the discriminators' loss must be what is computed by hand. Results are written to runs/proofs/pix2pixhd.json; finished
runs below runs/proofs are not repeated.
"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

import i2i
from i2i import recipe
from i2i.data import root
from i2i.models.pix2pixhd import Pix2PixHD, Recipe
from i2i.nets import receptive_field
from i2i.session import Session

RUNS = Path("runs/proofs")
RECIPE, CROP = "pix2pixhd_map2satellite", 64
MARGIN = 1.02  # a control's perceptual distance over the system's, at least
TOLD = ("first phase lost", "no first phase")
COARSE, FINE = 0.41, 0.81  # of the multiplications of a step of phase joint, in the networks of this proof
SMALL = (
    "data.dataset=earth_map2sat", f"data.crop={CROP}", "generator.blocks=3", "discriminator.scales=2",
    "players.generator.lr=4e-4", "players.discriminator.lr=4e-4",
    "validate_every=null", "sample_every=100000", "save_every=100000", "log=[]",
)  # fmt: skip


def overrides(steps: int, seed: int) -> dict[str, list[str]]:
    """What each run changes of the recipe; the first is the system itself."""
    first, second = steps // 2, steps // 8
    third = steps - first - second
    equal = round(COARSE * first + FINE * second + third)
    rest = f"{{phase: fine, steps: {second}}}, {{phase: joint, steps: {third}, lr: flat-then-linear}}"
    phases = f"[{{phase: coarse, steps: {first}}}, {rest}]"
    alone = f"[{{phase: coarse, steps: {steps}, lr: flat-then-linear}}]"
    at_once = f"[{{phase: joint, steps: {equal}, lr: flat-then-linear}}]"
    common = [*SMALL, f"seed={seed}"]
    return {
        "pix2pixHD": [*common, f"schedule={phases}"],
        "no feature matching": [*common, f"schedule={phases}", "weights.features=0"],
        "shuffled pairs": [*common, f"schedule={phases}", "data.dataset=null", f"data.root={shuffled()}"],
        "G1 alone, enlarged": [*common, f"schedule={alone}"],
        "first phase lost": [*common, f"schedule=[{rest}]"],
        "no first phase": [*common, f"schedule={at_once}"],
    }


def shuffled() -> Path:
    """A copy of the tiles in which every training b belongs to another a; test is untouched."""
    folder = RUNS / "earth_map2sat-shuffled"
    if not folder.exists():
        half_done = folder.with_suffix(".tmp")
        shutil.rmtree(half_done, ignore_errors=True)
        shutil.copytree(root("earth_map2sat"), half_done)
        names = sorted(path.name for path in (half_done / "trainB").iterdir())
        shift = len(names) // 2  # far away in a list that is sorted by place
        for name, other in zip(names, names[shift:] + names[:shift], strict=True):
            shutil.copy(root("earth_map2sat") / "trainB" / other, half_done / "trainB" / name)
        half_done.rename(folder)
    return folder


def by_hand(settings: Recipe) -> tuple[int, float]:
    """The pixels that a logit of the coarsest D sees, and how far the loss of the D's is from one that is computed
    here from equation 5 and the definition of least squares."""
    torch.manual_seed(0)
    model = Pix2PixHD(settings)
    pair = torch.rand(2, 6, CROP, CROP) * 2 - 1
    plain, seen = torch.zeros(()), pair
    for judge in model.judge.judges:
        plain = plain + ((judge(seen) - 1) ** 2).mean()
        seen = (seen[..., ::2, ::2] + seen[..., 1::2, ::2] + seen[..., ::2, 1::2] + seen[..., 1::2, 1::2]) / 4
    sides = receptive_field(settings.discriminator.layers) * 2 ** (settings.discriminator.scales - 1)
    return sides, (model.loss.rule.real(model.judge(pair)) - plain).abs().item()


def scores(name: str, changes: list[str], console: Console) -> dict[str, float]:
    """Of a run, which is trained and scored if it is not there yet; with its seconds of processor time."""
    folder = RUNS / name.replace(" ", "-").lower()
    kept = folder / "scores.json"
    if not kept.is_file():
        began = time.process_time()
        Session(recipe.load(RECIPE, changes), folder, torch.device("cpu"), console=console).play()
        row = {metric: value[0] for metric, value in i2i.evaluate(folder).rows["model"].items()}
        kept.write_text(json.dumps(row | {"cpu_s": time.process_time() - began}), "utf-8")
    found: dict[str, float] = json.loads(kept.read_text("utf-8"))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=600, help="of each run")
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    runs, console = overrides(told.steps, told.seed), Console(stderr=True)

    settings: Any = recipe.load(RECIPE, runs["pix2pixHD"])
    side, error = by_hand(settings)
    exact = side >= CROP and error < 1e-6
    print(f"coarsest D sees {side} of {CROP} px, loss of the D's off by {error:.1e}: {'PASS' if exact else 'FAIL'}")

    columns = ("perceptual_efflite0", "kid_efflite0", "l1", "correlation", "cpu_s")
    print(f"{'':24}" + "".join(f"{name:>21}" for name in columns))
    found: dict[str, dict[str, float]] = {}
    passed = {"exact": exact}
    for label, changes in runs.items():
        found[label] = row = scores(f"pix2pixhd-{label.replace(',', '')}-{told.steps}-{told.seed}", changes, console)
        ratio = row["perceptual_efflite0"] / found["pix2pixHD"]["perceptual_efflite0"]
        verdict = ""
        if label in TOLD:
            verdict = f"  × {ratio:.3f}"
        elif label != "pix2pixHD":
            passed[label] = ratio >= MARGIN
            verdict = f"  × {ratio:.3f} (≥ {MARGIN})"
        print(f"{label:24}" + "".join(f"{row[name]:21.4f}" for name in columns) + verdict, flush=True)
    good = all(passed.values())
    result = {"steps": told.steps, "seed": told.seed, "margin": MARGIN, "scores": found, "passed": passed}
    RUNS.mkdir(parents=True, exist_ok=True)
    (RUNS / "pix2pixhd.json").write_text(json.dumps(result, indent=2), "utf-8")
    print("PASS" if good else f"FAIL: {', '.join(name for name, ok in passed.items() if not ok)}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
