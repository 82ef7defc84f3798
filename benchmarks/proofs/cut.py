"""CUT and FastCUT beside CUT without its contrast: does an answer still say which picture it is of, and look right?

    python benchmarks/proofs/cut.py [--steps 600] [--seed 0]        about 2 min of one core

The recipe `cut_map2satellite` at half its width. Pictures of the two sides come from different longitudes; the scores
are of 111 registered tiles of other ones, which no run has seen. All runs take the same number of steps.

- exact: before anything is trained PatchNCE must be what its equation gives by hand, and must tell a picture's own
  places from those of another.
- found: the share of answers that are, of all 111 inputs, most like their own (by the correlation of the luminance, of
  either sign). FOUND of CUT's and of FastCUT's; of the control's, both contrasts at weight 0, LOST at most.
- truth: the correlation with the truth is above 0 beyond its interval for both, and CUT's above that of a copy.
- look: L1 to the truth, CUT's below that of matched means and deviations. A copy is always found, and fails here.

The correlation with the truth is not asked of the control: its pictures are nearly one texture, and of seed 0 they
correlate with the truth by 0.19, more than CUT's. FOUND and LOST were set between the figures of seed 0, and hold of
seed 1.

Exit code 1 if one of them fails. Results are written to runs/proofs/cut.json; runs below runs/proofs go on where they
were stopped.
"""

import argparse
import json
import sys
from math import exp, log
from typing import Any

import torch
from registered import ALL, RUNS, answered, held_out, told, trained
from torch import Tensor
from torch.nn import functional as F

from i2i import metrics, recipe
from i2i.cost import built
from i2i.data import fixed
from i2i.losses import patch_nce
from i2i.metrics.paired import luma

COPY, MATCHED = "copy of the input", "matched colours"
FOUND, LOST = 0.9, 0.5  # shares; 1/111 by chance
SMALL = ("generator.width=16", "discriminator.width=32")
RUNS_OF: dict[str, tuple[str, tuple[str, ...]]] = {
    "CUT": ("cut_map2satellite", SMALL),
    "no contrast": ("cut_map2satellite", (*SMALL, "weights.nce=0", "weights.identity=0")),
    "FastCUT": ("fastcut_map2satellite", SMALL),
}


def by_hand() -> float:
    """How far PatchNCE is from its definition, for two places at angles that are known."""
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


def found(answers: Tensor, a: Tensor) -> float:
    """The share of answers whose luminance correlates more, with either sign, with their own input's than others'."""
    seen, asked = (F.normalize(x - x.mean(1, keepdim=True)) for x in (luma(answers).flatten(1), luma(a).flatten(1)))
    nearest = (seen @ asked.mT).abs().argmax(1)
    return (nearest == torch.arange(len(a))).float().mean().item()


def matched(settings: Any, a: Tensor) -> Tensor:
    """a with the means and deviations of side b, of each channel, as the training pictures have them."""
    train_a, train_b = fixed(settings.data, "train", ALL)[:2]
    (mean_a, std_a), (mean_b, std_b) = (
        (x.mean((0, 2, 3), True), x.std((0, 2, 3), keepdim=True)) for x in (train_a, train_b)
    )
    return (a - mean_a) / std_a * std_b + mean_b


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

    rows: dict[str, dict[str, float]] = {}

    def score(label: str, answers: Tensor, a: Tensor, b: Tensor) -> None:
        truth = metrics.correlation(answers, b)
        rows[label] = {"found": found(answers, a), "correlation": truth.mean().item(),
                       "interval": 1.96 * truth.std().item() / len(a) ** 0.5,
                       "l1": metrics.l1(answers, b).mean().item()}  # fmt: skip
        print(
            f"{label:24}found {rows[label]['found']:.2f}   truth {told(truth)}   L1 {rows[label]['l1']:.3f}", flush=True
        )

    for label, (name, changes) in RUNS_OF.items():
        run = trained(name, label, changes, options.steps, options.seed)
        a, b = held_out(run.settings)
        if not rows:
            score(COPY, a, a, b)
            score(MATCHED, matched(run.settings, a), a, b)
        score(label, answered(run.product["a2b"], a), a, b)

    cut, fast = rows["CUT"], rows["FastCUT"]
    passed = {
        "exact": exact,
        "found": min(cut["found"], fast["found"]) >= FOUND,
        "no contrast is lost": rows["no contrast"]["found"] <= LOST,
        "truth": all(row["correlation"] > row["interval"] for row in (cut, fast)),
        "above a copy": cut["correlation"] > rows[COPY]["correlation"],
        "look": cut["l1"] < rows[MATCHED]["l1"] < rows[COPY]["l1"],
    }
    result = {"steps": options.steps, "seed": options.seed, "thresholds": {"found": FOUND, "lost": LOST}, "rows": rows,
              "untrained": [own, other], "passed": passed}  # fmt: skip
    RUNS.mkdir(parents=True, exist_ok=True)
    (RUNS / "cut.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print("; ".join(f"{name}: {verdict(ok)}" for name, ok in passed.items()))
    return 0 if all(passed.values()) else 1


def verdict(good: bool) -> str:
    return "PASS" if good else "FAIL"


if __name__ == "__main__":
    sys.exit(main())
