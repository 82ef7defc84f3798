"""Trains the small recipes and the controls that must fail, and prints their scores on held-out pictures side by side.

    python benchmarks/honest.py earth       Pix2Pix on registered Earth tiles, beside itself trained on shuffled pairs
    python benchmarks/honest.py colour      Pix2Pix on line drawings, beside itself without a discriminator
    python benchmarks/honest.py unpaired    CycleGAN on disjoint longitudes, beside itself without identity or cycle

Runs are kept in `runs/honest` and resumed, so a second call only prints. A row is one training run; a number is the
mean over the test split, whose longitudes or drawings no run has seen.
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

import i2i
from i2i.data import root
from i2i.evaluation import COLUMNS, Scores

RUNS = Path("runs/honest")


def trained(recipe: str, label: str, overrides: Sequence[str] = ()) -> Path:
    run = RUNS / f"{recipe}-{label}"
    console = Console(stderr=True)
    console.print(f"training {run}")
    done = i2i.train(recipe, run=run, overrides=list(overrides), name=f"{recipe}-{label}", console=console)
    return done.run


def shuffled(dataset: str) -> Path:
    """A copy of a paired set in which every training b belongs to another a; val and test are untouched."""
    folder = RUNS / f"{dataset}-shuffled"
    if not folder.exists():
        half_done = folder.with_suffix(".tmp")
        shutil.rmtree(half_done, ignore_errors=True)
        shutil.copytree(root(dataset), half_done)
        names = sorted(path.name for path in (half_done / "trainB").iterdir())
        shift = len(names) // 2  # far away in a list that is sorted by place
        for name, other in zip(names, names[shift:] + names[:shift], strict=True):
            shutil.copy(root(dataset) / "trainB" / other, half_done / "trainB" / name)
        half_done.rename(folder)
    return folder


def table(title: str, rows: dict[str, Scores], direction: str = "") -> None:
    print(f"\n{title} {direction}")
    print(f"{'':28}" + "".join(f"{name:>13}" for name in COLUMNS))
    first = next(iter(rows.values()))
    answers = {label: scores.rows["model"] for label, scores in rows.items()}
    answers |= {name: row for name, row in first.rows.items() if name != "model" and "l1" in row}
    for label, row in answers.items():
        print(f"{label:28}" + "".join(f"{row[name][0]:13.3f}" for name in COLUMNS))


def earth() -> None:
    for recipe, dataset in (
        ("pix2pix_map2satellite", "earth_map2sat"),
        ("pix2pix_day2night_earth", "earth_day2night"),
    ):
        runs = {
            "pix2pix": trained(recipe, "pairs"),
            "pix2pix, shuffled pairs": trained(
                recipe, "shuffled", ["data.dataset=null", f"data.root={shuffled(dataset)}"]
            ),
        }
        table(recipe, {label: i2i.evaluate(run) for label, run in runs.items()})


def colour() -> None:
    runs = {
        "pix2pix": trained("quickstart", "adversarial"),
        "L1 alone": trained("quickstart", "l1", ["weights.adversarial=0"]),
    }
    table("quickstart", {label: i2i.evaluate(run) for label, run in runs.items()})


def unpaired() -> None:
    recipe = "cyclegan_map2satellite"
    runs = {
        "cyclegan": trained(recipe, "whole"),
        "cyclegan, seed 1": trained(recipe, "whole-1", ["seed=1"]),
        "cyclegan, no identity": trained(recipe, "no-identity", ["weights.identity=0"]),
        "no identity, seed 1": trained(recipe, "no-identity-1", ["weights.identity=0", "seed=1"]),
        "cyclegan, no cycle": trained(recipe, "no-cycle", ["weights.cycle=0", "weights.identity=0"]),
    }
    for direction in ("a2b", "b2a"):
        table(recipe, {label: i2i.evaluate(run, direction=direction) for label, run in runs.items()}, direction)


if __name__ == "__main__":
    parts = {"earth": earth, "colour": colour, "unpaired": unpaired}
    for part in sys.argv[1:] or parts:
        parts[part]()
