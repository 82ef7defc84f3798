"""How a sketch model takes drawings of kinds that it has and has not met: scores on the test photos, style by style.

    python benchmarks/drawings.py                       the shipped sketch2photo
    python benchmarks/drawings.py --model NAME          any model whose recipe derives sketches

Each style draws the same test photos in its plain form, and once more by an unsteady hand: thick, trembling, broken
lines. Styles that the recipe does not train on are marked. A table goes to stdout, and `runs/drawings.png` shows eight
photos spread over the split, not chosen: each style's plain drawing over the model's answer.
"""

import argparse
import os
from pathlib import Path
from typing import Any, get_args

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from common import CPU, machine

from i2i import evaluation, images, zoo
from i2i.data import PairedData, fixed
from i2i.data.spec import Sketches, Style
from i2i.engine.pictures import grid
from i2i.translator import Translator

PLAIN: dict[str, Any] = {"detail": (1.0, 1.0), "thickness": (0, 0), "jitter": (0.0, 0.0), "breaks": (0.0, 0.0)}
UNSTEADY: dict[str, Any] = {"detail": (1.0, 1.0), "thickness": (1, 1), "jitter": (1.0, 1.0), "breaks": (0.15, 0.15)}
SCORES = ("l1", "correlation", "perceptual_efflite0", "fid_efflite0")
SHOWN = 8
PICTURE = Path("runs/drawings.png")


def drawn_as(data: PairedData, style: str, hand: dict[str, Any]) -> PairedData:
    """The same data with all drawings in one style by one hand."""
    told = {**data.model_dump(), "derive": {"a": {"kind": "sketches", "styles": [style], **hand}}}
    return PairedData.model_validate(told)


@torch.inference_mode()
def shown(answer: evaluation.Answer, data: PairedData) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Drawings, answers and photos of a few test items spread over the split, n 3 h w each."""
    a, b = fixed(data, "test", SHOWN)
    return a.expand(-1, 3, -1, -1), answer(a), b


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--model", default="sketch2photo")
    model = zoo.load(asked.parse_args().model, CPU)
    data = getattr(model.recipe, "data", None)
    if not isinstance(data, PairedData) or data.derive is None or not isinstance(data.derive.a, Sketches):
        raise SystemExit("This model was not trained on derived sketches.")
    met, answer = data.derive.a.styles, Translator(model.product["a2b"], CPU).forward
    print(machine(CPU))
    print(f"{'':26}" + "".join(f"{name:>22}" for name in SCORES))
    rows: dict[str, torch.Tensor] = {}
    for style in get_args(Style):
        for label, hand in (("", PLAIN), (", unsteady", UNSTEADY)):
            kind = drawn_as(data, style, hand)
            told = evaluation.evaluate(answer, kind, "test").rows["model"]
            name = f"{style}{label}{'' if style in met else ' (not met)'}"
            cells = (f"{value:.3f} ± {half:.3f}" for value, half in (told[score] for score in SCORES))
            print(f"{name:26}" + "".join(f"{cell:>22}" for cell in cells), flush=True)
            if not label:
                rows[style], rows[f"of {style}"], truth = shown(answer, kind)
    images.write(PICTURE, np.asarray(grid(rows | {"photo": truth})), force=True)
    print(f"picture: {PICTURE}")


if __name__ == "__main__":
    main()
