"""What proofs of unpaired translators share: runs that can be continued, and registered pairs that none has seen."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from i2i import metrics, recipe
from i2i.data import fixed
from i2i.session import Session

RUNS = Path("runs/proofs")
CPU = torch.device("cpu")
ALL = 10_000  # pictures: more than any split has
CHEAP = ("validate_every=null", "sample_every=1000000", "save_every=100", "log=[]")
Answer = Callable[[Tensor], Tensor]


def trained(name: str, label: str, changes: Sequence[str], steps: int, seed: int) -> Session:
    """A finished run, which is played to its end if it is not there yet."""
    settings = recipe.load(name, [*CHEAP, f"schedule.0.steps={steps}", f"seed={seed}", *changes])
    run = RUNS / f"{name}-{label.replace(' ', '-').replace(',', '')}-{steps}-{seed}"
    session = Session(settings, run, CPU)
    if not session.finished:
        began = time.process_time()
        session.play()
        print(f"{label}: {time.process_time() - began:.0f} s of processor time", flush=True)
    for network in session.product.values():
        network.eval()
    return session


def held_out(settings: Any) -> tuple[Tensor, Tensor]:
    """Both sides of the test split, n 3 h w each: equal names are equal places."""
    a, b = fixed(settings.data, "test", ALL)[:2]
    return a, b


@torch.inference_mode()
def answered(answer: Answer, x: Tensor) -> Tensor:
    return torch.cat([answer(part) for part in x.split(16)])


def correlations(answer: Answer, x: Tensor, truth: Tensor) -> Tensor:
    """Of each picture's luminance with its truth's: n. Blind to brightness and contrast; 0 for a constant colour."""
    return metrics.correlation(answered(answer, x), truth)


def half(values: Tensor) -> Tensor:
    """Of the 95 % interval around their mean."""
    return 1.96 * values.std() / len(values) ** 0.5


def told(values: Tensor) -> str:
    """The mean with its 95 % interval."""
    return f"{values.mean():6.3f} ± {half(values):.3f}"
