"""UNIT beside two coders with nothing in common: is there one code, and do translations fit their inputs?

    python benchmarks/proofs/unit.py [--steps 6000] [--seed 0]        about 35 min of one core

The recipe `unit_day2night`. Pictures of the two sides come from different longitudes; the scores are of registered
tiles of other ones, which no run has seen, and of them only those whose night has contrast (a standard deviation of the
luminance above CONTRAST, of 0 to 1; over the channels together the blue of an even night would count as contrast): in
the dark a constant is a fine answer.

- tie: the shared blocks are one object, and moving them changes both directions.
- latent: the codes of a place by day and by night are nearer (L1) than by day and at another place by night, on average
  over the others, for NEARER of the places at least. Not so without all that ties the codes: shared blocks, one start
  of both sides, and the way back. (The way back alone ties them, too, and is told: each decoder then has codes of both
  encoders to read.)
- truth: the correlation of night → day, and of day → night, with the truth is above 0 beyond its interval: land is not
  learnt as sea, which the losses would allow.
- the same on map → satellite, where a correlation of TRUTH is asked for, as of CycleGAN.

By day → night a copy of the input correlates with the truth no less than translations do; it is told beside them.
Exit code 1 if one of them fails. Results are written to runs/proofs/unit.json, grids beside them; runs below
runs/proofs go on where they were stopped.
"""

import argparse
import json
import sys
from typing import Any

import torch
from registered import RUNS, answered, correlations, half, held_out, told, trained
from torch import Tensor, nn

from i2i import recipe
from i2i.cost import built
from i2i.engine.pictures import grid
from i2i.metrics.paired import luma

CONTRAST, NEARER, TRUTH = 0.06, 0.85, 0.15
RECIPE = "unit_day2night"
RUNS_OF: dict[str, tuple[str, ...]] = {
    "UNIT": (),
    "only the way back": ("generator.shared=0", "generator.alike=false"),
    "nothing in common": (
        "generator.shared=0",
        "generator.alike=false",
        "weights.cycle=0",
        "weights.cycle_kl=0",
    ),
    "UNIT, map to satellite": ("data.dataset=earth_map2sat_unpaired",),
}


def tied(seed: int) -> bool:
    """Whether a change of each shared block changes both directions."""
    torch.manual_seed(seed)
    model, _ = built(recipe.load(RECIPE), torch.device("cpu"))
    x, ways = torch.rand(2, 3, 32, 32) * 2 - 1, list(model.product().values())
    changed = [model.encode_a.shared is model.encode_b.shared, model.decode_a.shared is model.decode_b.shared]
    for part in (model.encode_a.shared, model.decode_b.shared):
        before = [answered(way, x) for way in ways]
        with torch.no_grad():
            next(part.parameters()).add_(torch.randn_like(next(part.parameters())))
        changed += [not torch.equal(answered(way, x), old) for way, old in zip(ways, before, strict=True)]
    return all(changed)


def latent(product: dict[str, nn.Module], day: Tensor, night: Tensor) -> tuple[float, float]:
    """The share of places whose own codes are nearer than the mean of the others, and than a random other one."""
    codes: Any = [answered(product[way].encode, x).flatten(1) for way, x in (("a2b", day), ("b2a", night))]
    apart = torch.cdist(*codes, p=1)  # n n
    own, n = apart.diagonal(), len(apart)
    mean = (apart.sum(1) - own) / (n - 1)
    return (own < mean).float().mean().item(), (own[:, None] < apart).float().sum().item() / (n * (n - 1))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6000, help="of each run")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    passed = {"tie": tied(options.seed)}
    print(f"tie: {verdict(passed['tie'])}", flush=True)
    rows: dict[str, dict[str, float]] = {}
    for label, changes in RUNS_OF.items():
        run = trained(RECIPE, label, changes, options.steps, options.seed)
        a, b = held_out(run.settings)
        if "satellite" not in label:
            lit = luma(b / 2).flatten(1).std(1) > CONTRAST
            a, b = a[lit], b[lit]
        there, back = correlations(run.product["a2b"], a, b), correlations(run.product["b2a"], b, a)
        copy = correlations(lambda x: x, a, b)
        nearer, nearest = latent(run.product, a, b)
        print(f"{label}, {len(a)} places\n  a → b {told(there)}   b → a {told(back)}   copy {told(copy)}")
        print(f"  own code nearer than the mean of the others: {nearer:.3f}, than one other: {nearest:.3f}", flush=True)
        found = {"a2b": there, "b2a": back, "copy": copy}
        rows[label] = {name: values.mean().item() for name, values in found.items()}
        rows[label] |= {f"{name} at least": (values.mean() - half(values)).item() for name, values in found.items()}
        rows[label] |= {"places": len(a), "nearer": nearer, "than one other": nearest}
        some = slice(0, None, max(1, len(a) // 12))
        RUNS.mkdir(parents=True, exist_ok=True)
        sheet = grid(run.model.show((a[some], b[some]), run.product))
        sheet.save(RUNS / f"unit {label}.png".replace(",", "").replace(" ", "-"))
    unit, _, apart, map2satellite = rows.values()
    passed |= {
        "latent": unit["nearer"] >= NEARER,
        "nothing in common is worse": apart["nearer"] < min(NEARER, unit["nearer"]),
        "night to day": unit["b2a at least"] > 0,
        "day to night": unit["a2b at least"] > 0,
        "map to satellite": map2satellite["a2b"] >= TRUTH,
    }
    result = {"steps": options.steps, "seed": options.seed, "rows": rows, "passed": passed,
              "thresholds": {"nearer": NEARER, "map to satellite": TRUTH, "contrast": CONTRAST}}  # fmt: skip
    (RUNS / "unit.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print("; ".join(f"{name}: {verdict(ok)}" for name, ok in passed.items()))
    return 0 if all(passed.values()) else 1


def verdict(good: bool) -> str:
    return "PASS" if good else "FAIL"


if __name__ == "__main__":
    sys.exit(main())
