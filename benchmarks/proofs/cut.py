"""CUT and FastCUT beside CUT without its contrast, and beside CycleGAN without its identity term.

    python benchmarks/proofs/cut.py [--steps 600] [--seed 0]        about 5 min of one core

The recipe `cut_map2satellite` at half its width. Pictures of the two sides come from different longitudes; the scores
are of 111 registered tiles of other ones, which no run has seen: the correlation of a translation with the truth, which
is 0 for any constant colour and below 0 where land and sea are swapped. All runs take the same number of steps.

Before anything is trained PatchNCE must be what its equation gives by hand, and must tell a picture's own places from
those of another. The system passes when CUT's and FastCUT's correlation is above 0 beyond its interval and CUT's is
above that of a copy of the input; the control, the same with both contrasts at weight 0, must be MARGIN below CUT and
no better than the copy. CycleGAN without identity is printed beside them: nothing forbids it to swap. Exit code 1
otherwise.

Results are written to runs/proofs/cut.json; runs below runs/proofs go on where they were stopped.
"""

import argparse
import json
import sys
from math import exp, log
from typing import Any

import torch
from registered import RUNS, answered, correlations, held_out, told, trained
from torch import Tensor

from i2i import metrics, recipe
from i2i.cost import built
from i2i.losses import patch_nce

MARGIN = 0.05
SMALL = ("generator.width=16", "discriminator.width=32")
RUNS_OF: dict[str, tuple[str, tuple[str, ...]]] = {
    "CUT": ("cut_map2satellite", SMALL),
    "no contrast": ("cut_map2satellite", (*SMALL, "weights.nce=0", "weights.identity=0")),
    "FastCUT": ("fastcut_map2satellite", SMALL),
    "CycleGAN, no identity": ("cyclegan_map2satellite", (*SMALL, "weights.identity=0")),
}


def by_hand() -> float:
    """How far PatchNCE is from equation 1, for two places at angles that are known."""
    key = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    query = torch.tensor([[[1.0, 0.0], [0.75**0.5, 0.5]]])
    own = (1.0, 0.5), (0.0, 0.75**0.5)  # q·k₊ and q·k₋ of the two
    terms = [-log(exp(plus / 0.07) / (exp(plus / 0.07) + exp(minus / 0.07))) for plus, minus in zip(*own, strict=True)]
    return abs(patch_nce(query, key).item() - sum(terms) / 2)


def untrained(seed: int) -> tuple[float, float]:
    """PatchNCE of test pictures with themselves, and with their neighbours in the list, at the first step."""
    settings: Any = recipe.load("cut_map2satellite", list(SMALL))
    torch.manual_seed(seed)
    model, _ = built(settings, torch.device("cpu"))
    a = held_out(settings)[0][:16]
    with torch.no_grad():
        return model.patch_nce(a, a, None).item(), model.patch_nce(a, a.roll(1, 0), None).item()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=600, help="of each run")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    error, (own, other) = by_hand(), untrained(options.seed)
    exact = error < 1e-5 and own < 0.8 * other
    print(
        f"PatchNCE is off by {error:.1e}; a picture with itself {own:.2f}, with another {other:.2f}: {verdict(exact)}"
    )

    found: dict[str, Tensor] = {}
    l1: dict[str, float] = {}
    for label, (name, changes) in RUNS_OF.items():
        settings, product = trained(name, label, changes, options.steps, options.seed)
        a, b = held_out(settings)
        if not found:
            found["copy of the input"] = correlations(lambda x: x, a, b)
            print(f"{'copy of the input':24}{told(found['copy of the input'])}", flush=True)
        found[label] = correlations(product["a2b"], a, b)
        l1[label] = metrics.l1(answered(product["a2b"], a), b).mean().item()
        print(f"{label:24}{told(found[label])}   L1 {l1[label]:.3f}", flush=True)

    mean = {label: values.mean().item() for label, values in found.items()}
    half = {label: 1.96 * values.std().item() / len(values) ** 0.5 for label, values in found.items()}
    passed = {
        "exact": exact,
        "CUT": mean["CUT"] > max(half["CUT"], mean["copy of the input"]),
        "FastCUT": mean["FastCUT"] > half["FastCUT"],
        "no contrast fails": mean["no contrast"] <= min(mean["CUT"] - MARGIN, mean["copy of the input"]),
    }
    result = {"steps": options.steps, "seed": options.seed, "margin": MARGIN, "correlation": mean, "interval": half,
              "l1": l1, "untrained": [own, other], "passed": passed}  # fmt: skip
    RUNS.mkdir(parents=True, exist_ok=True)
    (RUNS / "cut.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print("; ".join(f"{name}: {verdict(ok)}" for name, ok in passed.items()))
    return 0 if all(passed.values()) else 1


def verdict(good: bool) -> str:
    return "PASS" if good else "FAIL"


if __name__ == "__main__":
    sys.exit(main())
